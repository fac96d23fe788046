import type { Balance } from '../ledger/event.balance.js';
import type { Handover, Overlap } from '../oracle/order.oracle.js';
import type { FaultName } from '../planner/fault.catalogue.js';
import type { Span } from '../planner/fault.planner.js';
import type { LeaseVerdict } from '../rules/lease.verdict.js';
import type { Distribution } from './statistics.js';

/** One fault that was made. */
export interface FaultMade {
  readonly number: number;
  readonly round: number;
  readonly name: FaultName;
  readonly target: string;
  readonly span: Span | null;
  /** How long it lasted in fact. */
  readonly lasted_ms: number;
  /** From the healing of the round's last fault until all bots traded again. */
  readonly recover_ms: number;
}

export interface ChaosResult {
  readonly seed: number;
  readonly hosts: number;
  readonly bots: number;
  readonly schedulers: number;
  readonly ttl_ms: number;
  readonly elapsed_ms: number;
  readonly rounds: number;
  readonly faults: readonly FaultMade[];
  /** Drawn, and there was nothing they could have met. */
  readonly notMade: readonly { readonly name: FaultName; readonly why: string }[];
  readonly orders: number;
  readonly epochs: number;
  readonly overlaps: number;
  readonly overlapsShown: readonly Overlap[];
  /** From the last order of an epoch to the first of the next. */
  readonly handover: Distribution | null;
  readonly handoverShortest: Handover | null;
  /** The longest an order was under way, and the longest the broker did not look. */
  readonly order_ms_max: number;
  readonly stall_ms_max: number;
  readonly load: { readonly asked: number; readonly refused: number };
  readonly rules: LeaseVerdict | null;
  readonly events: Balance | null;
  /** Parts that ended by themselves, which some do as they should, and how often. */
  readonly ends: Readonly<Record<string, number>>;
  /** Sentences; empty when all held. */
  readonly failures: readonly string[];
  readonly logs: string;
}

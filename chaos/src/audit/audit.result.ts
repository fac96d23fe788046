import type { LogBalance } from './log.balance.js';
import type { LogFigures } from './log.reader.js';
import type { Target } from './kill.planner.js';

/** One time that something was killed. */
export interface KillsMade {
  readonly targets: readonly Target[];
  readonly losesStore: boolean;
  /** Events written by then. */
  readonly written: number;
  readonly down_ms: number;
  /** From when all were started again until the log went on. */
  readonly recover_ms: number;
  /** In the stream and not recorded when the store was deleted; 0 of other kills. */
  readonly lostByStore: number;
}

export interface AuditChaosResult {
  readonly seed: number;
  readonly events: number;
  readonly kills: number;
  readonly made: readonly KillsMade[];
  readonly producers: readonly (LogBalance & { readonly refilled: number })[];
  readonly log: LogFigures | null;
  /** What `tradefleet audit verify` printed. */
  readonly verified: string | null;
  readonly writing_ms: number;
  readonly elapsed_ms: number;
  /** Times that the audit service ended by itself. */
  readonly endsBySelf: number;
  /** Sentences; empty when all held. */
  readonly failures: readonly string[];
  readonly logs: string;
}

export const sumOf = <T>(list: readonly T[], of: (one: T) => number): number =>
  list.reduce((sum, one) => sum + of(one), 0);

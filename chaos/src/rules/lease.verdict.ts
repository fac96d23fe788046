import { distributionOf, type Distribution } from '../report/statistics.js';
import type { Takeover, Transition } from './transition.log.js';

/** What leases and waits are made of, as the services are set. Milliseconds. */
export interface LeaseRules {
  readonly ttl_ms: number;
  /** By how much the clock of a host may run slower than its agent takes it to. */
  readonly agentDrift: number;
  readonly agentMargin_ms: number;
  readonly drift: number;
  readonly lockDelay_ms: number;
  readonly leaderLease_ms: number;
  readonly takeoverMargin_ms: number;
}

export interface LeaseVerdict {
  /** Least time from the last heartbeat that renewed a lease until the account may be given away. */
  readonly lostRule_ms: number;
  /** That time, of every allocation that was given up as lost. */
  readonly heardToLost: Distribution | null;
  /** From an allocation given up to the next one of its account running, elsewhere or on the same host returned. */
  readonly lostToRunning: Distribution | null;
  /** From the last heartbeat to running elsewhere. */
  readonly heardToRunning: Distribution | null;
  readonly takeoverRule_ms: number;
  /** From the last renewal of a leader that died or hung to the next one's term. */
  readonly takeovers: Distribution | null;
  /** Sentences; empty when every wait was long enough. */
  readonly broken: readonly string[];
}

/** /proc/uptime has two decimals, and two clocks are compared by a third. */
const reading_ms = 30;

/**
 * Whether anything was given away too early.
 * @param deadlines the last lease of each allocation on CLOCK_BOOTTIME, as its agent wrote it
 * @param wallToBoot_ms what to add to a wall clock time of this machine to have CLOCK_BOOTTIME
 */
export function leaseVerdict(
  rules: LeaseRules,
  transitions: readonly Transition[],
  deadlines: ReadonlyMap<string, number>,
  takeovers: readonly Takeover[],
  wallToBoot_ms: number,
): LeaseVerdict {
  const lostRule_ms = rules.ttl_ms * (1 + rules.drift) + rules.lockDelay_ms;
  const takeoverRule_ms = rules.leaderLease_ms * (1 + rules.drift) + rules.takeoverMargin_ms;
  const broken: string[] = [];
  const heardToLost: number[] = [];
  const lostToRunning: number[] = [];
  const heardToRunning: number[] = [];
  for (const lost of transitions.filter(({ state }) => state === 'lost')) {
    const next = transitions.find(
      ({ account, epoch, state }) => account === lost.account && epoch > lost.epoch && state === 'running',
    );
    if (next !== undefined) lostToRunning.push(next.at_ms - lost.at_ms);
    const deadline_ms = deadlines.get(lost.allocation);
    // It never had a lease, so it never ran.
    if (deadline_ms === undefined) continue;
    const heard_ms = deadline_ms + rules.agentMargin_ms - rules.ttl_ms * (1 - rules.agentDrift);
    const waited_ms = lost.at_ms + wallToBoot_ms - heard_ms;
    heardToLost.push(waited_ms);
    if (next !== undefined) heardToRunning.push(waited_ms + next.at_ms - lost.at_ms);
    if (waited_ms < lostRule_ms - reading_ms)
      broken.push(
        `${lost.account} (epoch ${lost.epoch}, ${lost.host}) was given up ${waited_ms.toFixed(0)} ms after its last heartbeat; the rule is ${lostRule_ms.toFixed(0)} ms`,
      );
  }
  const waits = takeovers.filter(({ fromDead }) => fromDead);
  for (const { term, waited_ms } of waits)
    if (waited_ms < takeoverRule_ms)
      broken.push(
        `term ${term} was taken ${waited_ms.toFixed(0)} ms after the last renewal before; the rule is ${takeoverRule_ms.toFixed(0)} ms`,
      );
  return {
    ...{ lostRule_ms, takeoverRule_ms, broken },
    heardToLost: distributionOf(heardToLost),
    lostToRunning: distributionOf(lostToRunning),
    heardToRunning: distributionOf(heardToRunning),
    takeovers: distributionOf(waits.map(({ waited_ms }) => waited_ms)),
  };
}

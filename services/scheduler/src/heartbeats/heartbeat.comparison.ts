import {
  isLive,
  movesForward,
  type AllocationState,
  type AttemptExit,
  type EndReason,
  type ObservedAllocation,
  type Stage,
} from '#libs/contracts';

/** A live allocation of the host, as the database has it. */
export interface RecordedAllocation {
  readonly id: string;
  readonly account: string;
  readonly epoch: number;
  readonly state: AllocationState;
  readonly attempt: number;
  readonly stopReason: EndReason | null;
  /** Wall clock; null while nobody wants it to end. */
  readonly stopDeadlineMs: number | null;
  /** Of its bot's own, where it has one. */
  readonly leaseTtlMs?: number | null;
}

/** What the database learns from the host. */
export interface ObservedAdvance {
  readonly id: string;
  readonly state: AllocationState;
  readonly stage: Stage | null;
  readonly attempt: number;
  readonly lastExit: AttemptExit | null;
  readonly reason: EndReason | null;
  readonly detail: string | null;
  readonly exitCode: number | null;
}

export interface HeartbeatComparison {
  /** To be renewed. */
  readonly leases: { allocation: string; epoch: number }[];
  /** The host is to stop and remove these. */
  readonly stop: string[];
  readonly advances: ObservedAdvance[];
  /** The database thinks the host has these, and the host does not name them. */
  readonly missing: RecordedAllocation[];
}

/**
 * Compares what a host says it has with what it should have. Pure; the table of all cases is its spec:
 *
 *   database            host says alive                  host says ended   host says nothing
 *   live, wanted        lease; advance when ahead        advance           missing
 *   live, in its grace  lease; advance when ahead        advance           missing
 *   live, grace over    stop, no lease                   advance           missing
 *   live, other epoch   stop                             nothing           missing
 *   ended or unknown    stop                             nothing           nothing
 *
 * One that is only placed is not missing: its command is on the way. When it is to stop, it is: then nothing else
 * would ever end it on a host that never got the command.
 * @param recorded the live allocations of this host
 */
export function compareHeartbeat(
  recorded: readonly RecordedAllocation[],
  observed: readonly ObservedAllocation[],
  wall_ms: number,
): HeartbeatComparison {
  const result: HeartbeatComparison = { leases: [], stop: [], advances: [], missing: [] };
  const unseen = new Map(recorded.map((row) => [row.id, row]));
  for (const seen of observed) {
    const row = unseen.get(seen.id);
    if (row?.epoch !== seen.epoch || row.account !== seen.account) {
      if (isLive(seen.state)) result.stop.push(seen.id);
      continue;
    }
    unseen.delete(seen.id);
    if (movesForward(row.state, seen.state) || isLaterAttempt(row, seen))
      result.advances.push(advanceOf(row, seen));
    if (!isLive(seen.state)) continue;
    if (row.stopDeadlineMs !== null && wall_ms >= row.stopDeadlineMs) result.stop.push(seen.id);
    else result.leases.push({ allocation: seen.id, epoch: seen.epoch });
  }
  for (const row of unseen.values()) {
    if (row.state !== 'placed' || row.stopDeadlineMs !== null) result.missing.push(row);
  }
  // A host that names one twice cannot be right both times: no lease for what is to stop.
  const stopped = new Set(result.stop);
  return { ...result, leases: result.leases.filter((lease) => !stopped.has(lease.allocation)) };
}

/** It was tried again in place; while it ends that is of no interest any more. */
const isLaterAttempt = (row: RecordedAllocation, seen: ObservedAllocation): boolean =>
  row.state === seen.state && seen.attempt > row.attempt;

const advanceOf = (row: RecordedAllocation, seen: ObservedAllocation): ObservedAdvance => ({
  id: row.id,
  // A host says that a thing ended, never that it is lost: that is what the scheduler says of a host.
  state: seen.state === 'lost' ? 'failed' : seen.state,
  stage: seen.observation?.stage ?? null,
  attempt: seen.attempt,
  lastExit: seen.lastExit ?? null,
  reason: isLive(seen.state) ? null : (seen.reason ?? row.stopReason),
  detail: seen.detail,
  exitCode: seen.exitCode,
});

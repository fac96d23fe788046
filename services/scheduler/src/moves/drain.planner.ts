import type { FleetSnapshot } from '../placement/fleet-snapshot.js';
import { place } from '../placement/placement.js';
import type { PlacementStrategy } from '../placement/placement.score.js';
import type { DrainingAllocation } from '../reconciliation/reconciliation.repository.js';

/** A bot that is to leave, and where to. */
export interface PlannedDrain {
  readonly allocation: DrainingAllocation;
  readonly to: string;
  readonly prepare: boolean;
  /** Why it goes without preparation although that was asked for. */
  readonly detail: string | null;
}

export interface DrainPlan {
  readonly moves: readonly PlannedDrain[];
  /** The time is up, and no other host can take them: stopped all the same. */
  readonly stops: readonly DrainingAllocation[];
  /** Those that no other host can take: they go on where they are. */
  readonly kept: readonly { readonly bot: string; readonly reason: string }[];
}

/** Targets that may fail to get ready before a bot goes without. */
export const unready_targets_max = 2;

/**
 * Which bots leave draining hosts now, and where to. Pure but for the snapshot, on which it reserves what it plans.
 * At most `drainParallel` of one host are on their way at a time; when the time of a drain that stops what is left is
 * up, all of them go at once, unprepared.
 */
export function planDrains(
  snapshot: FleetSnapshot,
  staying: readonly DrainingAllocation[],
  strategy: PlacementStrategy,
  now: Date,
): DrainPlan {
  const moves: PlannedDrain[] = [];
  const stops: DrainingAllocation[] = [];
  const kept: { bot: string; reason: string }[] = [];
  const moving = new Map<string, number>();
  for (const allocation of staying) {
    const { host, bot, drainParallel } = allocation;
    const underWay = moving.get(host) ?? allocation.moving;
    const timeIsUp = isTimeUp(allocation, now);
    if (!timeIsUp && underWay >= drainParallel) continue;
    const target = targetOf(snapshot, allocation, strategy, timeIsUp);
    if ('reason' in target) {
      if (timeIsUp) stops.push(allocation);
      else kept.push({ bot, reason: `Host ${host} is draining, and no other can take it: ${target.reason}` });
      continue;
    }
    snapshot.reserve(target.to, allocation);
    moving.set(host, underWay + 1);
    moves.push({ allocation, ...target });
  }
  return { moves, stops, kept };
}

const isTimeUp = ({ deadlineAt, onDeadline }: DrainingAllocation, now: Date): boolean =>
  onDeadline === 'stop' && deadlineAt !== null && now >= deadlineAt;

type Target = Pick<PlannedDrain, 'to' | 'prepare' | 'detail'> | { readonly reason: string };

/** Another host than those that did not get ready, while there is one; then any but those without the image. */
function targetOf(
  snapshot: FleetSnapshot,
  allocation: DrainingAllocation,
  strategy: PlacementStrategy,
  timeIsUp: boolean,
): Target {
  const { host, unready, drainPrepare } = allocation;
  const [latest] = unready;
  const prepare = drainPrepare && !timeIsUp;
  if (prepare && unready.length < unready_targets_max) {
    const except = [host, ...unready.map((failed) => failed.host)];
    const fresh = place(snapshot, allocation, strategy, except);
    if (fresh.host !== null) return { to: fresh.host, prepare: true, detail: null };
  }
  // A bot that is stopped for a host without its image would not run again.
  const useless = unready.filter(({ failure }) => failure === 'image-missing').map((failed) => failed.host);
  const any = place(snapshot, allocation, strategy, [host, ...useless]);
  if (any.host === null) return { reason: why(any.reason, useless) };
  if (!drainPrepare) return { to: any.host, prepare: false, detail: null };
  const detail = timeIsUp
    ? 'The time of the drain was up.'
    : latest === undefined
      ? null
      : `Moved unprepared: ${latest.host}: ${latest.detail ?? latest.failure}`.slice(0, 300);
  return { to: any.host, prepare: prepare && latest === undefined, detail };
}

const why = (reason: string, useless: readonly string[]): string =>
  useless.length === 0 ? reason : `${reason} Without its image: ${[...new Set(useless)].join(', ')}.`;

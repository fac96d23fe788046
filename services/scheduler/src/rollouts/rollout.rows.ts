import type {
  AllocationState,
  AttemptExit,
  Bot,
  DesiredState,
  EndReason,
  Rollout,
  RolloutChange,
  RolloutOptions,
  RolloutState,
  RolloutSummary,
  RolloutTargetState,
  RuntimeName,
  Stage,
} from '#libs/contracts';
import type { BotDefinition } from '../bots/bot.definition.js';
import type { TargetNow } from './rollout.machine.js';

/** A rollout as it stands in the database. */
export interface RolloutRow {
  readonly id: string;
  readonly operation: string;
  readonly state: RolloutState;
  readonly reason: string | null;
  readonly change: RolloutChange;
  readonly options: RolloutOptions;
  readonly requested_by: string;
  readonly changed_by: string;
  readonly traceparent: string | null;
  readonly batch: number | null;
  readonly created_at: Date;
  readonly updated_at: Date;
  readonly ended_at: Date | null;
}

/** Targets by state; a state that none is in may be missing. */
export type Counts = Partial<Record<RolloutTargetState, number>>;

/** A bot that a selector has chosen. */
export interface ChosenBot extends BotDefinition {
  readonly name: string;
  readonly tenant: string;
  readonly account: string;
  readonly desired: Bot['desired'];
  readonly generation: number;
  readonly createdAt: Date;
  readonly locked: boolean;
  /** It runs now, so that its failing would tell something. */
  readonly runs: boolean;
  /** The rollout that has it. */
  readonly conflict: string | null;
}

export interface TargetRow {
  readonly bot: string;
  readonly state: RolloutTargetState;
  readonly reason: string | null;
  readonly batch: number | null;
  readonly generation: number;
  readonly changed_generation: number | null;
  readonly reverted_generation: number | null;
  readonly bot_created_at: Date;
  readonly since: Date | null;
  readonly healthy_allocation: string | null;
  readonly healthy_attempt: number | null;
  readonly healthy_since: Date | null;
  readonly updated_at: Date;
}

/** A target together with how its bot is now; the last columns are null when the bot is gone. */
export interface WatchedRow extends TargetRow {
  readonly now_generation: number | null;
  readonly now_created_at: Date | null;
  readonly desired: DesiredState | null;
  readonly runtime: RuntimeName | null;
  readonly locked: boolean | null;
  readonly tries:
    | {
        readonly id: string;
        readonly state: AllocationState;
        readonly stage: Stage | null;
        readonly attempt: number;
        readonly lastExit: AttemptExit | null;
        readonly reason: EndReason | null;
        readonly detail: string | null;
      }[]
    | null;
}

/** As the machine sees it. */
export function toTarget(row: WatchedRow): TargetNow {
  const { now_generation, now_created_at, desired, runtime } = row;
  const there =
    now_generation !== null && now_created_at !== null && desired !== null && runtime !== null
      ? { runtime, desired, generation: now_generation, createdAtMs: now_created_at.getTime() }
      : null;
  return {
    bot: row.bot,
    state: row.state,
    batch: row.batch,
    createdAtMs: row.bot_created_at.getTime(),
    generation: row.generation,
    changedGeneration: row.changed_generation,
    revertedGeneration: row.reverted_generation,
    sinceMs: row.since?.getTime() ?? null,
    healthy:
      row.healthy_allocation === null || row.healthy_attempt === null || row.healthy_since === null
        ? null
        : {
            allocation: row.healthy_allocation,
            attempt: row.healthy_attempt,
            sinceMs: row.healthy_since.getTime(),
          },
    now:
      there === null
        ? null
        : {
            ...there,
            locked: row.locked === true,
            tries: (row.tries ?? []).map(({ id, ...found }) => ({ allocation: id, ...found })),
          },
  };
}

/** A rollout as the API shows it in lists. */
export function toSummary(row: RolloutRow, counts: Counts): RolloutSummary {
  const of = (state: RolloutTargetState): number => counts[state] ?? 0;
  const progress = {
    waiting: of('waiting'),
    changing: of('changing'),
    healthy: of('healthy'),
    failed: of('failed'),
    skipped: of('skipped'),
    reverting: of('reverting'),
    reverted: of('reverted'),
  };
  return {
    id: row.id,
    operation: row.operation,
    state: row.state,
    reason: row.reason,
    change: row.change,
    options: row.options,
    batch: row.batch,
    progress: { total: Object.values(progress).reduce((sum, count) => sum + count, 0), ...progress },
    by: row.requested_by,
    createdAt: row.created_at.toISOString(),
    updatedAt: row.updated_at.toISOString(),
    endedAt: row.ended_at?.toISOString() ?? null,
  };
}

/** A rollout as the API shows it, with all its bots. */
export function toRollout(row: RolloutRow, targets: readonly TargetRow[]): Rollout {
  const counts: Counts = {};
  for (const { state } of targets) counts[state] = (counts[state] ?? 0) + 1;
  return {
    ...toSummary(row, counts),
    targets: targets.map((target) => ({
      bot: target.bot,
      state: target.state,
      batch: target.batch,
      reason: target.reason,
      generation: target.generation,
      changedGeneration: target.changed_generation,
      revertedGeneration: target.reverted_generation,
      healthySince: target.healthy_since?.toISOString() ?? null,
      updatedAt: target.updated_at.toISOString(),
    })),
  };
}

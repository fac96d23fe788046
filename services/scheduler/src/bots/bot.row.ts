import {
  isLive,
  type Allocation,
  type AllocationState,
  type AttemptExit,
  type Bot,
  type BotObservation,
  type EndReason,
  type Stage,
} from '#libs/contracts';

/** An allocation as `to_jsonb` gives it: instants are text with an offset. */
interface AllocationJson {
  id: string;
  bot: string;
  account: string;
  tenant: string;
  host: string;
  epoch: number;
  bot_generation: number;
  state: AllocationState;
  stage: Stage | null;
  attempt: number;
  last_exit: AttemptExit | null;
  reason: EndReason | null;
  detail: string | null;
  exit_code: number | null;
  created_at: string;
  updated_at: string;
  running_at: string | null;
  ended_at: string | null;
}

/** A bot together with its newest allocation. */
export interface BotRow extends Pick<
  Bot,
  | 'name'
  | 'tenant'
  | 'account'
  | 'runtime'
  | 'version'
  | 'parameters'
  | 'resources'
  | 'constraints'
  | 'policies'
  | 'desired'
  | 'generation'
> {
  queued_reason: string | null;
  /** Not placed before; null when it may be placed at any time. */
  retry_at: Date | null;
  /** Failures that count. */
  failures: number;
  /** Not placed again; null when it may be. */
  gave_up_at: Date | null;
  created_at: Date;
  updated_at: Date;
  created_by: string;
  allocation: AllocationJson | null;
}

/** Of the reason of a bot's state. */
export const reason_length_max = 300;

/** @param observationOf what was last heard of an allocation */
export function toBot(row: BotRow, observationOf: (allocationId: string) => BotObservation | null): Bot {
  const allocation = row.allocation === null ? null : toAllocation(row.allocation);
  return {
    name: row.name,
    tenant: row.tenant,
    account: row.account,
    runtime: row.runtime,
    version: row.version,
    parameters: row.parameters,
    resources: row.resources,
    constraints: row.constraints,
    policies: row.policies,
    desired: row.desired,
    generation: row.generation,
    createdAt: row.created_at.toISOString(),
    updatedAt: row.updated_at.toISOString(),
    createdBy: row.created_by,
    status: statusOf(row, allocation, observationOf),
  };
}

function statusOf(
  row: BotRow,
  allocation: Allocation | null,
  observationOf: (allocationId: string) => BotObservation | null,
): Bot['status'] {
  const { failures } = row;
  if (allocation !== null && isLive(allocation.state)) {
    const { host, state, id } = allocation;
    const live = { phase: state, host, allocation, observation: observationOf(id) };
    return { ...live, ...restarting(allocation), failures, gaveUpAt: null };
  }
  const wanted = row.desired === 'running';
  const gaveUpAt = wanted ? (row.gave_up_at?.toISOString() ?? null) : null;
  const nextTryAt = wanted ? (row.retry_at?.toISOString() ?? null) : null;
  const waits = { host: null, allocation, observation: null, failures, nextTryAt, gaveUpAt };
  if (row.desired === 'running' && row.queued_reason !== null) {
    return { phase: 'queued', reason: row.queued_reason.slice(0, reason_length_max), ...waits };
  }
  if (allocation === null) return { phase: 'none', reason: null, ...waits };
  const ended = [allocation.reason, allocation.detail].filter((part) => part !== null).join(': ');
  const next = nextTryAt === null ? '' : `next try at ${nextTryAt.slice(0, 19)}Z`;
  const over =
    gaveUpAt === null ? '' : `given up after ${failures} ${failures === 1 ? 'failure' : 'failures'}`;
  const reason = [over, next, ended].filter((part) => part !== '').join('; ');
  return {
    phase: gaveUpAt === null ? allocation.state : 'failed',
    reason: reason === '' ? null : reason.slice(0, reason_length_max),
    ...waits,
  };
}

/** Between two attempts, and until the new one says something of itself. */
function restarting({ stage, lastExit }: Allocation): Pick<Bot['status'], 'reason' | 'nextTryAt'> {
  if (lastExit === null || stage !== null) return { reason: null, nextTryAt: null };
  const { attempt, reason, detail, nextTryAt } = lastExit;
  const ended = detail === null ? reason : `${reason}: ${detail}`;
  return { reason: `attempt ${attempt + 1} follows ${ended}`.slice(0, reason_length_max), nextTryAt };
}

function toAllocation(json: AllocationJson): Allocation {
  return {
    id: json.id,
    bot: json.bot,
    account: json.account,
    tenant: json.tenant,
    host: json.host,
    epoch: json.epoch,
    botGeneration: json.bot_generation,
    state: json.state,
    stage: json.stage,
    attempt: json.attempt,
    lastExit: json.last_exit,
    reason: json.reason,
    detail: json.detail,
    exitCode: json.exit_code,
    createdAt: instant(json.created_at),
    updatedAt: instant(json.updated_at),
    runningAt: json.running_at === null ? null : instant(json.running_at),
    endedAt: json.ended_at === null ? null : instant(json.ended_at),
  };
}

const instant = (text: string): string => new Date(text).toISOString();

import { isLive, type AllocationEventData, type AttemptExit, type ErrorCode } from '#libs/contracts';
import type { DecodedEvent } from '#libs/messaging';
import type { AllocationAdvance, AllocationIdentity } from '../allocations/allocation.rows.js';

/** An event of an allocation that its host may say. */
export interface HostReport {
  readonly host: string;
  readonly data: AllocationEventData;
  /** With `restarting`: how the attempt before ended. */
  readonly lastExit: AttemptExit | null;
}

export interface Misfit {
  readonly code: ErrorCode;
  readonly detail: string;
}

/** States a host may report; `placed` and `lost` are the scheduler's to say. */
const reported: ReadonlySet<string> = new Set([
  'accepted',
  'preparing',
  'starting',
  'running',
  'stopping',
  'stopped',
  'failed',
]);
/** These tell of something within a state. */
const within: ReadonlySet<string> = new Set(['stage-reached', 'adopted', 'restarting']);

const misfit = (code: ErrorCode, detail: string): Misfit => ({ code, detail });

/**
 * What a host says in an event, null for one that is the scheduler's own, or why no host can have meant it.
 * The signature is checked elsewhere; here, that the event is consistent in itself.
 */
export function hostReportOf(event: DecodedEvent): HostReport | Misfit | null {
  if (event.attributes.source === '/scheduler') return null;
  const [, kind, host] = event.attributes.source.split('/');
  if (kind !== 'agent' || host === undefined)
    return misfit('wrong_host', 'Only agents and the scheduler tell of allocations.');
  if (event.entity !== 'allocation' || !('allocation' in event.data) || !('state' in event.data))
    return misfit('invalid_request', 'This is not an event of an allocation.');
  const data = event.data;
  if (data.host !== host)
    return misfit('wrong_host', `The event names host ${data.host} and comes from ${host}.`);
  if (data.allocation !== event.entityId)
    return misfit('invalid_request', 'The event names another allocation than its subject.');
  const fits = within.has(event.what)
    ? isLive(data.state)
    : reported.has(event.what) && data.state === event.what;
  if (!fits)
    return misfit('invalid_request', `An event ${event.what} does not go with the state ${data.state}.`);
  return { host, data, lastExit: lastExitOf(event) };
}

export const isMisfit = (value: HostReport | Misfit | null): value is Misfit =>
  value !== null && 'code' in value;

/** Why the event does not belong to the allocation as it stands; null when it does. */
export function identityMisfit(
  data: AllocationEventData,
  row: AllocationIdentity | undefined,
): Misfit | null {
  if (row === undefined) return misfit('stale_epoch', `There is no allocation ${data.allocation}.`);
  if (row.host !== data.host)
    return misfit('wrong_host', `The allocation is on another host than ${data.host}.`);
  if (row.account !== data.account || row.bot !== data.bot || row.tenant !== data.tenant)
    return misfit('stale_epoch', 'The allocation is another bot or account than the event says.');
  if (row.epoch !== data.epoch)
    return misfit('stale_epoch', `The allocation has epoch ${row.epoch}, not ${data.epoch}.`);
  return null;
}

function lastExitOf({ data, attributes }: DecodedEvent): AttemptExit | null {
  if (!('delayMs' in data) || data.reason === null) return null;
  const { attempt, reason, detail, exitCode, delayMs } = data;
  const at_ms = Date.parse(attributes.time);
  return {
    attempt: Math.max(1, attempt - 1),
    reason,
    detail,
    exitCode,
    at: new Date(at_ms).toISOString(),
    nextTryAt: new Date(at_ms + delayMs).toISOString(),
  };
}

export const advanceOf = ({ data, lastExit }: Pick<HostReport, 'data' | 'lastExit'>): AllocationAdvance => ({
  id: data.allocation,
  state: data.state,
  stage: data.stage,
  attempt: data.attempt,
  lastExit,
  reason: data.reason,
  detail: data.detail,
  exitCode: data.exitCode,
  ran: data.state === 'running',
});

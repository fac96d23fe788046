import { type ApiRequest, type EventTailPage, type FleetEvent, limits, ProblemError } from '#libs/contracts';
import { isPassing } from './fleet.gateway.js';
import type { Session } from './session.js';

/** Which events; those that are given must all fit. */
export type EventFilter = Omit<ApiRequest<'events.tail'>, 'position' | 'limit' | 'timeoutMs'>;

/** Requests that failed one after the other before it is given up. */
const failures_max = 30;
const pause_ms = 1000;
/** The gateway answers a while after the time is up. */
const margin_ms = 10_000;

/**
 * Calls back for every event that is recorded from now on, in the order of the log: by its positions nothing is missed
 * or shown twice, whatever restarts in between. Ends by throwing: the caller is interrupted, or nobody answers any more.
 */
export async function followEvents(
  filter: EventFilter,
  onEvent: (event: FleetEvent) => void,
  session: Session,
): Promise<never> {
  let position = (await answered({ ...filter, timeoutMs: 0 }, session)).next;
  for (;;) {
    const page = await answered({ ...filter, position, timeoutMs: limits.tail_wait_ms_max }, session);
    page.events.forEach(onEvent);
    position = page.next;
  }
}

/** The answer, once there is one. */
async function answered(
  request: ApiRequest<'events.tail'> & { readonly timeoutMs: number },
  { gateway, printer, surroundings }: Session,
): Promise<EventTailPage> {
  for (let failures = 1; ; failures += 1) {
    try {
      return await gateway.call('events.tail', request, { timeout_ms: request.timeoutMs + margin_ms });
    } catch (error) {
      if (!isPassing(error)) throw error;
      if (failures >= failures_max)
        throw new ProblemError('unavailable', `The audit log does not answer at ${gateway.url}.`, {
          cause: error,
        });
      if (failures === 1) printer.note('The audit log does not answer; asking again.');
      await surroundings.clock.sleep(pause_ms, surroundings.interrupted);
    }
  }
}

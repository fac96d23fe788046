import { type ApiRequest, type FleetEvent, ProblemError } from '#libs/contracts';
import { isPassing } from './fleet.gateway.js';
import type { Session } from './session.js';

/** Which events; those that are given must all fit. */
export type EventFilter = Pick<
  ApiRequest<'events.query'>,
  'entity' | 'entityId' | 'type' | 'actor' | 'traceId'
>;

/** Connections that failed one after the other before it is given up. */
const failures_max = 10;
const pause_ms = 1000;
/** Ids remembered, so that what the log repeats after a lost connection is shown once. */
const remembered_max = 5000;
/** Events read from the audit log after a lost connection. */
const missed_max = 5000;

/**
 * Calls back for every event from now on. When the connection ends (a gateway restarts) it connects again and takes
 * what it missed from the audit log. Ends by throwing: the caller is interrupted, or the gateway stays away.
 */
export async function followEvents(
  filter: EventFilter,
  onEvent: (event: FleetEvent) => void,
  { gateway, printer, surroundings }: Session,
): Promise<never> {
  const seen = new Set<string>();
  const last: { time: string | null } = { time: null };
  let failures = 0;
  const show = (event: FleetEvent): void => {
    last.time = event.time;
    if (seen.has(event.id)) return;
    seen.add(event.id);
    for (const id of seen) if (seen.size > remembered_max) seen.delete(id);
    if (fits(event, filter)) onEvent(event);
  };
  for (;;) {
    try {
      if (last.time !== null) {
        const missed = { ...filter, from: last.time, order: 'asc' as const };
        for (const event of await gateway.list('events.query', 'events', missed, missed_max)) show(event);
      }
      await gateway.events((event) => {
        failures = 0;
        show(event);
      }, surroundings.interrupted);
    } catch (error) {
      if (!(isPassing(error) || isCut(error))) throw error;
    }
    failures += 1;
    if (failures >= failures_max)
      throw new ProblemError('unavailable', `The event stream of ${gateway.url} does not come back.`);
    printer.note('The event stream has ended; connecting again.');
    await surroundings.clock.sleep(pause_ms, surroundings.interrupted);
  }
}

/** A connection that breaks in the middle of an answer: undici's `TypeError: terminated`. */
const isCut = (error: unknown): boolean => (error as { message?: unknown } | null)?.message === 'terminated';

const fits = (event: FleetEvent, filter: EventFilter): boolean =>
  (filter.entity === undefined || event.entity === filter.entity) &&
  (filter.entityId === undefined || event.entityId === filter.entityId) &&
  (filter.type === undefined || event.type === filter.type) &&
  (filter.actor === undefined || event.actor === filter.actor) &&
  (filter.traceId === undefined || event.traceparent?.split('-')[1] === filter.traceId);

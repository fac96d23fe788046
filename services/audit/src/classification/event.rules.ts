import { eventHeaders, type EventAttributes, type QuarantineCode } from '#libs/contracts';
import { eventProducers, type DecodedEvent } from '#libs/messaging';
import { hostOf } from './signature.check.js';

/** What is wrong with an event, so that it is put aside. */
export interface Fault {
  readonly code: QuarantineCode;
  /** Quotes nothing of the data. */
  readonly reason: string;
}

const minute_ms = 60_000;
const ahead_ms_max = 10 * minute_ms;
const behind_ms_max = 400 * 24 * 60 * minute_ms;
const version7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

/** As `toISOString` writes it. That there is such a day and hour is looked at by the schema. */
const exactTime = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;

/**
 * The signature covers the time as text; only in this form does the column give the same text back.
 */
export function faultOfTime({ time }: EventAttributes): Fault | null {
  if (exactTime.test(time)) return null;
  return {
    code: 'bad_attributes',
    reason: 'the time must be UTC with milliseconds, as 2026-01-31T12:00:00.000Z',
  };
}

/** Whether the source may make this event, by type and, of an agent, for this host. */
export function faultOfProducer({ type, attributes, data }: DecodedEvent): Fault | null {
  const { source } = attributes;
  const [, service = '', instance] = source.split('/');
  const producers: readonly string[] = eventProducers[type];
  const host = hostOf(source);
  // Agents have a name each, a service none.
  const isWhole = service === 'agent' ? host !== null : instance === undefined;
  if (!isWhole || !producers.includes(service))
    return { code: 'wrong_producer', reason: `${source} may not make events of type ${type}` };
  if (host !== null && 'host' in data && data.host !== host)
    return { code: 'wrong_producer', reason: `${source} may not speak of another host` };
  return null;
}

/** An id says the millisecond of its time: so an event is found by its id, whatever month it is kept in. */
export function faultOfId({ id }: EventAttributes, time_ms: number): Fault | null {
  const ms = version7.test(id) ? Number.parseInt(id.slice(0, 8) + id.slice(9, 13), 16) : null;
  if (ms === time_ms) return null;
  return {
    code: 'id_time_mismatch',
    reason: `${eventHeaders.id} must be a UUID version 7 of the millisecond of ${eventHeaders.time}`,
  };
}

/** @param wall_ms of the audit service */
export function faultOfClock(time_ms: number, wall_ms: number): Fault | null {
  const ahead_ms = time_ms - wall_ms;
  if (ahead_ms > ahead_ms_max) return { code: 'clock_off', reason: 'the time is more than 10 minutes ahead' };
  if (ahead_ms < -behind_ms_max) return { code: 'clock_off', reason: 'the time is more than 400 days ago' };
  return null;
}

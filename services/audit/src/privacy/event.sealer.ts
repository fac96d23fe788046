import { eventTypes, isEventType, type LogRecord } from '#libs/contracts';
import { Injectable } from '@nestjs/common';
import type { QuarantineCause, RecordedEvent } from '../ingestion/recorded-event.js';
import { placeIn, sealText } from './sealed.value.js';
import type { SubjectKey } from './subject.key.js';
import { SubjectKeys } from './subject.keys.js';
import { isPerson, subjectActor, subjectOfValue } from './subject.names.js';

/** An event as it may be stored, or why it cannot be. */
export type Sealed = RecordedEvent | { readonly refused: RecordedEvent; readonly cause: QuarantineCause };

/** What of an event is personal. */
interface Personal {
  /** Whose it is. */
  readonly name: string;
  /** The data, when some of it is. */
  readonly data: { readonly parsed: Record<string, unknown>; readonly fields: readonly string[] } | null;
}

const signatureField = '(signature)';
const none: readonly string[] = [];
const personalFields = (type: string): readonly string[] =>
  isEventType(type) ? eventTypes[type].personal : none;

/**
 * Seals the personal values of events before they are hashed and stored: the name of a person who acted, and the fields that the
 * catalogue marks. Where something is sealed the producer's signature is, too: it was made over the values as they were, so
 * whoever guesses one could tell by it that he is right, after an erasure as before.
 */
@Injectable()
export class EventSealer {
  constructor(private readonly keys: SubjectKeys) {}

  /** In the order of the events, one for each. An event without anything personal is given back as it is. */
  async seal(events: readonly RecordedEvent[]): Promise<readonly Sealed[]> {
    const found = new Map<RecordedEvent, Personal | 'inexact'>();
    const names = new Set<string>();
    for (const event of events) {
      const personal = personalIn(event.record);
      if (personal === null) continue;
      found.set(event, personal);
      if (personal !== 'inexact') names.add(personal.name);
    }
    if (found.size === 0) return events;
    const keys = await this.keys.ofNames(names);
    return events.map((event): Sealed => {
      const personal = found.get(event);
      if (personal === undefined) return event;
      const key = personal === 'inexact' ? undefined : keys.get(personal.name);
      if (personal === 'inexact' || key === undefined)
        return { refused: event, cause: causeOf(event.record) };
      return { ...event, record: sealed(event.record, personal, key) };
    });
  }
}

/** `inexact`: the data could not be written again as it was sent, so that nothing but the values would be different. */
function personalIn(record: LogRecord): Personal | 'inexact' | null {
  const { actor, type, data: text } = record;
  const isByPerson = isPerson(actor);
  const marked = personalFields(type);
  if (marked.length === 0) return isByPerson ? { name: actor, data: null } : null;
  const parsed = JSON.parse(text) as Record<string, unknown>;
  const fields = marked.filter((field) => Object.hasOwn(parsed, field) && parsed[field] !== null);
  const [first] = fields;
  if (first === undefined) return isByPerson ? { name: actor, data: null } : null;
  if (JSON.stringify(parsed) !== text) return 'inexact';
  return { name: isByPerson ? actor : subjectOfValue(first, parsed[first]), data: { parsed, fields } };
}

function sealed(record: LogRecord, { data }: Personal, key: SubjectKey): LogRecord {
  const { id, actor, signature } = record;
  const seal = (text: string, field: string): string => sealText(key, text, placeIn(id, field));
  const values = (data?.fields ?? []).map((field) => [
    field,
    seal(JSON.stringify(data?.parsed[field]), field),
  ]);
  return {
    ...record,
    actor: isPerson(actor) ? subjectActor(key.id) : actor,
    subjectId: key.id,
    signature: signature === null ? null : seal(signature, signatureField),
    // A field that is there keeps its place.
    data: data === null ? record.data : JSON.stringify({ ...data.parsed, ...Object.fromEntries(values) }),
  };
}

const causeOf = ({ source, incarnation, sequence }: LogRecord): QuarantineCause => ({
  code: 'bad_data',
  reason: 'it holds personal values and is not written as JSON.stringify writes it',
  source,
  place: { source, incarnation, sequence },
});

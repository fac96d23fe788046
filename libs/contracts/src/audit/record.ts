import { z } from 'zod';
import { EventAttributes } from '../event/event.schema.js';
import { Timestamp } from '../names.js';

/**
 * An event as the log holds it. Its canonical line is a leaf of the log's tree, so nothing here may change once the record
 * is committed. Times are UTC with milliseconds, as `2026-01-31T12:00:00.000Z`.
 */
export const LogRecord = z
  .strictObject({
    /** Of this form. */
    v: z.literal(1),
    id: EventAttributes.shape.id,
    source: EventAttributes.shape.source,
    incarnation: EventAttributes.shape.incarnation,
    sequence: EventAttributes.shape.sequence,
    type: EventAttributes.shape.type,
    /** `<entity>/<id>` */
    subject: EventAttributes.shape.subject,
    severity: z.enum(['info', 'notice', 'warning', 'critical']),
    retention: z.enum(['trading', 'audit', 'error', 'session']),
    /** Of a person: `subject:<uuid>`, under whose key the name is sealed. */
    actor: z.string().min(1).max(200),
    /** Whose key seals the personal values of this record. */
    subjectId: z.uuid().nullable(),
    /** When it happened, by its producer. */
    time: Timestamp,
    traceparent: EventAttributes.shape.traceparent.unwrap().nullable(),
    /** When it was recorded, by the audit service's wall clock. */
    recordedAt: Timestamp,
    /** The producer's over the event as it was sent: a detached JWS, or the form of one for a batch of events. */
    signature: z.string().max(4096).nullable(),
    /** The body's text as it is stored: personal values are sealed. */
    data: z.string(),
  })
  .meta({ id: 'LogRecord' });
export type LogRecord = z.infer<typeof LogRecord>;

/**
 * The canonical line of a record: JSON without blanks, these keys in this order. Its bytes in UTF-8 are what the log's tree
 * is made of.
 */
export function recordLine(record: LogRecord): string {
  return JSON.stringify({
    v: record.v,
    id: record.id,
    source: record.source,
    incarnation: record.incarnation,
    sequence: record.sequence,
    type: record.type,
    subject: record.subject,
    severity: record.severity,
    retention: record.retention,
    actor: record.actor,
    subjectId: record.subjectId,
    time: record.time,
    traceparent: record.traceparent,
    recordedAt: record.recordedAt,
    signature: record.signature,
    data: record.data,
  } satisfies LogRecord);
}

/** Reads a line. Throws an `Error` for one that is not a record's canonical line: other bytes have another hash. */
export function parseRecordLine(line: string): LogRecord {
  const record = LogRecord.parse(JSON.parse(line));
  if (recordLine(record) !== line) throw new Error('This is not the canonical line of a record.');
  return record;
}

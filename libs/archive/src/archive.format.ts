import { LogRecord, Month, recordLine, RetentionClass } from '#libs/contracts';
import { z } from 'zod';

/**
 * An archive is a gzip of lines of JSON, from left to right through the log:
 *
 *   {"archive":1, id, origin, class, month, records, checkpoint}     the first line; the checkpoint as it was signed
 *   {"position":7,"record":{…}}                                      a record: its canonical line, embedded
 *   {"from":8,"count":8,"hash":"…"}                                  8 records that are none of these: the root of their subtree
 *   {"end":true}                                                     the last line
 *
 * Records and subtrees cover the log from 0 to the checkpoint's size without a gap, so one pass over the file gives the root
 * that the checkpoint has signed.
 */
export const ArchiveHead = z.strictObject({
  archive: z.literal(1),
  id: z.uuid(),
  origin: z.string().min(1).max(100),
  class: RetentionClass,
  month: Month,
  records: z.int().min(1),
  checkpoint: z.string().max(65_536),
});
export type ArchiveHead = z.infer<typeof ArchiveHead>;

export const ArchivedRecord = z.strictObject({ position: z.int().min(0), record: LogRecord });
export const ArchivedSubtree = z.strictObject({
  from: z.int().min(0),
  count: z.int().min(1),
  hash: z.string().regex(/^[A-Za-z0-9+/]{43}=$/),
});
export const ArchiveEnd = z.strictObject({ end: z.literal(true) });

const recordStart = (position: number): string => `{"position":${position},"record":`;

/** @param line the record's canonical line */
export const archivedRecordLine = (position: number, line: string): string =>
  `${recordStart(position)}${line}}`;

/** The canonical line of the record in such a line. Throws an `Error` when it is in other bytes. */
export function readArchivedRecord(text: string): { position: number; record: LogRecord; line: string } {
  const { position, record } = ArchivedRecord.parse(JSON.parse(text));
  const line = recordLine(record);
  if (archivedRecordLine(position, line) !== text)
    throw new Error(`The record at ${position} is not written canonically.`);
  return { position, record, line };
}

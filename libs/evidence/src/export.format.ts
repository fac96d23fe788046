import { Id, LogCheckpoint, PublicJwk, Timestamp } from '#libs/contracts';
import { z } from 'zod';

/**
 * A log as a file. One JSON document a line: a header, then in the order of the log the records, each as its canonical
 * line, whose bytes the tree is made of; between them, where they belong, what is not there, archived records by their
 * hashes, before the first of each archive the records by which the log tells of it, and checkpoints, each behind the last record it covers; then an end. Nothing is told of positions but where the
 * header begins: each record is at the next one.
 */
export const ExportHeader = z.strictObject({
  export: z.literal(1),
  origin: z.string().min(1).max(100),
  /** Position of the first record. */
  from: z.int().min(0),
  /** Position behind the last one. */
  size: z.int().min(0),
  /** Whether the log had no more. */
  isWhole: z.boolean(),
  /** Roots of the complete subtrees of `[0, from)`, 32 bytes each in one base64 text. */
  frontier: z.base64(),
  /** As the fleet gave it: who has it from nowhere else is told by the fleet what to believe. */
  key: PublicJwk,
  exportedAt: Timestamp,
});
export type ExportHeader = z.infer<typeof ExportHeader>;

const Range = z.tuple([z.int().min(0), z.int().min(0)]);
const markers = {
  /** Positions `[from, to)` have no record. */
  missing: z.strictObject({ missing: Range }),
  /** Records that an archive's file has, from a position on: 32 bytes each. */
  archived: z.strictObject({
    archived: z.strictObject({ from: z.int().min(0), archive: Id, leaves: z.base64() }),
  }),
  /** A record by which the log tells what an archive has, wherever it stands itself, with a proof that it is in the log. */
  archive: z.strictObject({
    archive: z.strictObject({
      archive: Id,
      position: z.int().min(0),
      line: z.string(),
      note: z.string(),
      proof: z.array(z.base64()).max(64),
    }),
  }),
  checkpoint: z.strictObject({ checkpoint: LogCheckpoint }),
  /** A row at a position that the log has not reached. */
  beyond: z.strictObject({
    beyond: z.strictObject({ position: z.int().min(0), line: z.string().nullable() }),
  }),
  end: z.strictObject({
    end: z.strictObject({ records: z.int().min(0), archived: z.int().min(0), checkpoints: z.int().min(0) }),
  }),
};
export const ExportMarker = z.union([
  markers.missing,
  markers.archived,
  markers.archive,
  markers.checkpoint,
  markers.beyond,
  markers.end,
]);
export type ExportMarker = z.infer<typeof ExportMarker>;

/** A line of an export. */
export type ExportItem =
  | { readonly kind: 'header'; readonly header: ExportHeader }
  /** The line's bytes, without the line feed. */
  | { readonly kind: 'record'; readonly line: Buffer }
  | { readonly kind: 'marker'; readonly marker: ExportMarker };

/** How a record's line begins, and no other. */
export const recordStart = Buffer.from('{"v":1,');

/** The file is no export, or not a whole one. */
export class ExportInvalid extends Error {
  override readonly name = 'ExportInvalid';
}

/** The id in a record's line. */
export function idOf(line: Buffer): string | null {
  return /^\{"v":1,"id":"([0-9a-f-]{36})"/.exec(line.subarray(0, 64).toString('latin1'))?.[1] ?? null;
}

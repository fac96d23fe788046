import { leafHash } from '#libs/tlog';
import type { ExportItem } from './export.format.js';
import { placedRecords } from './placed-records.js';
import type { WitnessLeaves } from './witness.reader.js';

/** What was done to a log, as far as it can be told. Stable: scripts search for it. */
export const findingKinds = {
  /** A record is another one than was seen, or one of a span is and nothing tells which. */
  changed: 'changed',
  /** A record that was seen is not there. */
  removed: 'removed',
  /** A record stands at another place than it was seen at. */
  reordered: 'reordered',
  /** A record is there that was not seen where others were. */
  inserted: 'inserted',
  /** The last records are gone, and what tells of them is still there. */
  tailMissing: 'tail-missing',
  /** The log is as it was before records that were seen: an older copy, or an end that was cut off with all traces. */
  older: 'older',
  /** The database has a checkpoint that the key did not sign. */
  checkpoint: 'checkpoint',
} as const;
export type FindingKind = (typeof findingKinds)[keyof typeof findingKinds];

/** The first thing that is not as it was. */
export interface Finding {
  readonly what: FindingKind;
  /** Of the first record concerned. */
  readonly position: number;
  /** Where the span ends (not included) in which it lies; null when it is exactly at the position. */
  readonly to: number | null;
  /** Of the record that stands there now; null when there is none. */
  readonly id: string | null;
  /** Of the record before it. */
  readonly after: string | null;
  /** Records concerned, where that is known. */
  readonly records: number | null;
  /** One sentence. */
  readonly detail: string;
}

/** The place where log and witness part. */
export interface Parting {
  readonly position: number;
  /** What stands there in the log. */
  readonly leaf: Buffer;
  readonly id: string | null;
  readonly after: string | null;
}

/**
 * Tells what was done by looking for what stands at the parting in all of the other one: how far a record was moved does not
 * matter. Reads each once more.
 */
export async function nameDifference(
  open: () => AsyncIterable<ExportItem>,
  leaves: WitnessLeaves,
  parting: Parting,
): Promise<Finding> {
  const { position, leaf, id, after } = parting;
  const [seen, seenNext] = await twoFrom(leaves, position);
  const log = await scanLog(open, leaves, parting, seen, seenNext);
  const found = await scanWitness(leaves, leaf, log.next);
  const at = { position, to: null, id, after };
  if (found.leaf === null && log.seenAt !== null) {
    const records = log.seenAt - position;
    return {
      ...at,
      what: 'inserted',
      records,
      detail: `${counted(records)} not seen before what stood here.`,
    };
  }
  if (found.leaf !== null && (log.isTwice || found.leaf < position))
    return { ...at, what: 'inserted', records: 1, detail: `A copy of the record at ${found.leaf}.` };
  if (found.leaf !== null && log.seenAt === null) {
    const records = found.leaf - position;
    const detail = `${counted(records)} gone from here; the record that stands here was seen at ${found.leaf}.`;
    return { ...at, what: 'removed', records, detail };
  }
  if (found.leaf !== null && log.seenAt !== null) {
    const detail = `This record was seen at ${found.leaf}; the one seen here stands at ${log.seenAt} now.`;
    return { ...at, what: 'reordered', records: null, detail };
  }
  // One changed record is followed by those that were seen, unless it is the last one of both.
  const hasMore = log.compared > 0 || leaves.size > log.size;
  const isAnother = hasMore && log.same === 0 && found.next === null && !log.hasSeenNext;
  if (isAnother) {
    const detail = 'From here on nothing is what was seen: an older copy of the log, written on.';
    return { ...at, what: 'older', records: null, detail };
  }
  return { ...at, what: 'changed', records: 1, detail: 'It is not the record that was seen here.' };
}

const counted = (records: number): string => (records === 1 ? 'One record' : `${records} records`);

async function twoFrom(leaves: WitnessLeaves, position: number): Promise<[Buffer | null, Buffer | null]> {
  const found: Buffer[] = [];
  for await (const leaf of leaves.from(position)) if (found.push(Buffer.from(leaf)) === 2) break;
  return [found[0] ?? null, found[1] ?? null];
}

interface LogScan {
  /** Where the record stands that was seen at the parting; behind it. */
  readonly seenAt: number | null;
  /** The record at the parting stands behind it once more. */
  readonly isTwice: boolean;
  readonly next: Buffer | null;
  readonly hasSeenNext: boolean;
  /** Positions behind the parting at which log and witness were compared, and those that were alike. */
  readonly compared: number;
  readonly same: number;
  /** Position behind the last record. */
  readonly size: number;
}

async function scanLog(
  open: () => AsyncIterable<ExportItem>,
  leaves: WitnessLeaves,
  { position, leaf }: Parting,
  seen: Buffer | null,
  seenNext: Buffer | null,
): Promise<LogScan> {
  let scan: LogScan = {
    ...{ seenAt: null, isTwice: false, next: null },
    hasSeenNext: false,
    compared: 0,
    same: 0,
    size: position + 1,
  };
  const witness = leaves.from(position + 1)[Symbol.asyncIterator]();
  try {
    for await (const { at, hash } of hashesOf(open())) {
      if (at <= position) continue;
      const other = await witness.next();
      const isSame = other.done !== true && hash.equals(other.value);
      scan = {
        seenAt: scan.seenAt ?? (seen !== null && hash.equals(seen) ? at : null),
        isTwice: scan.isTwice || hash.equals(leaf),
        next: scan.next ?? Buffer.from(hash),
        hasSeenNext: scan.hasSeenNext || (seenNext !== null && hash.equals(seenNext)),
        compared: scan.compared + (other.done === true ? 0 : 1),
        same: scan.same + (isSame ? 1 : 0),
        size: at + 1,
      };
    }
  } finally {
    await witness.return?.();
  }
  return scan;
}

async function scanWitness(
  leaves: WitnessLeaves,
  leaf: Buffer,
  next: Buffer | null,
): Promise<{ leaf: number | null; next: number | null }> {
  const found: { leaf: number | null; next: number | null } = { leaf: null, next: null };
  let at = 0;
  for await (const seen of leaves.from(0)) {
    if (found.leaf === null && seen.equals(leaf)) found.leaf = at;
    if (found.next === null && next !== null && seen.equals(next)) found.next = at;
    at += 1;
  }
  return found;
}

/** The hashes of an export's records, archived ones too, by position. */
async function* hashesOf(items: AsyncIterable<ExportItem>): AsyncGenerator<{ at: number; hash: Buffer }> {
  for await (const record of placedRecords(items))
    yield { at: record.at, hash: 'line' in record ? leafHash(record.line) : record.leaf };
}

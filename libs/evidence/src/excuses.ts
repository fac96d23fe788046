import { verify, type KeyObject } from 'node:crypto';
import {
  archiveStatement,
  parseRecordLine,
  PartitionArchivedEventData,
  type LogRecord,
} from '#libs/contracts';
import { leafHash, verifyInclusion } from '#libs/tlog';
import type { ExportMarker } from './export.format.js';
import { jsonOrNull } from './export.reader.js';
import { openCheckpoint } from './witness.reader.js';

type ToldMarker = Extract<ExportMarker, { archive: unknown }>['archive'];

/** An archive that the log itself tells of. */
export interface ToldArchive extends Pick<
  PartitionArchivedEventData,
  'archive' | 'class' | 'month' | 'records' | 'first' | 'last' | 'sha256' | 'checkpointSize'
> {
  /** Of the record that tells of it, the first of several. */
  readonly toldAt: number;
}

interface Excuse {
  readonly told: ToldArchive;
  /** In ascending order. */
  readonly ranges: [number, number][];
}

const type = 'tradefleet.audit.partition-archived';
const source = '/audit';

/**
 * Which records may be missing: those of which a record of the log says, signed by the log's key, that an archive has them.
 * What the database says of archives besides counts for nothing: its owner writes that.
 */
export class Excuses {
  private readonly byArchive = new Map<string, Excuse>();

  constructor(
    private readonly origin: string,
    private readonly key: KeyObject,
  ) {}

  /** The archives, in the order in which they were told. */
  get archives(): ToldArchive[] {
    return [...this.byArchive.values()].map(({ told }) => told);
  }

  /** Takes a record that proves itself; one that does not excuses nothing. */
  take(marker: ToldMarker): void {
    const data = this.proved(marker);
    if (data === null) return;
    const { archive, month, records, first, last, sha256, checkpointSize } = data;
    const excuse = this.byArchive.get(archive) ?? {
      told: {
        ...{ archive, class: data.class, month, records, first, last, sha256, checkpointSize },
        toldAt: marker.position,
      },
      ranges: [],
    };
    excuse.ranges.push(...data.ranges);
    excuse.ranges.sort(([one], [other]) => one - other);
    this.byArchive.set(archive, excuse);
  }

  /** Whether the log says that the archive has this position. */
  covers(archive: string, position: number): boolean {
    const ranges = this.byArchive.get(archive)?.ranges ?? [];
    let [low, high] = [0, ranges.length - 1];
    while (low <= high) {
      const middle = (low + high) >> 1;
      const [from, to] = ranges[middle] ?? [0, -1];
      if (position < from) high = middle - 1;
      else if (position > to) low = middle + 1;
      else return true;
    }
    return false;
  }

  private proved({ archive, position, line, note, proof }: ToldMarker): PartitionArchivedEventData | null {
    const checkpoint = openCheckpoint(note, this.origin, this.key);
    if (checkpoint === null) return null;
    const { size, root } = checkpoint;
    const hashes = proof.map((hash) => Buffer.from(hash, 'base64'));
    if (!verifyInclusion({ position, size, root, leaf: leafHash(line), proof: hashes })) return null;
    const record = recordOrNull(line);
    if (record?.type !== type || record.source !== source) return null;
    const data = PartitionArchivedEventData.safeParse(jsonOrNull(record.data));
    if (data.data?.archive !== archive) return null;
    const statement = Buffer.from(data.data.statement, 'base64');
    // Under whatever origin it was signed: the record is in this log, and the key is the one that it is verified with.
    return verify(null, archiveStatement(data.data), this.key, statement) ? data.data : null;
  }
}

function recordOrNull(line: string): LogRecord | null {
  try {
    return parseRecordLine(line);
  } catch {
    return null;
  }
}

import type { LogEntry, LogRecords, LogRecordsGet } from '#libs/contracts';
import { frontierAt, hashAt, tile_hashes, type ReadTile } from '#libs/tlog';
import { Injectable } from '@nestjs/common';
import { refusal } from '../errors.js';
import { LogReader, type PlacedLine } from './log.reader.repository.js';

/** A page must fit one NATS message (1 MiB by the server's default) with its envelope. */
const page_bytes_max = 700 * 1024;
const beyond_max = 16;

/** Gives the records as they are hashed, page by page. */
@Injectable()
export class RecordService {
  constructor(private readonly reader: LogReader) {}

  /**
   * One page. It may hold fewer records than asked for when they are large or not there; the end is where `next` is null.
   * A position that it passes over has no record.
   */
  async records({ from, limit, frontier }: LogRecordsGet): Promise<LogRecords> {
    const { origin, size, lines } = await this.reader.lines(from, limit + beyond_max);
    if (from > size) throw refusal.noSuchSize(size);
    const there = lines.filter(({ position }) => position < size);
    const page = wholePositions(fitting(there.slice(0, limit)), there);
    // Behind the last record nothing is left but, perhaps, records that were archived.
    const end = page.length === there.length ? size : (page.at(-1)?.position ?? from) + 1;
    const to = Math.min(end, from + limit);
    const read = this.reader.tiles(size);
    const records = page.filter(({ position }) => position < to).map(toEntry);
    const next = to < size ? to : null;
    return {
      origin,
      size,
      entries: [...records, ...(await this.archived(from, to, records, read))].sort(byPosition),
      next,
      frontier: frontier ? (await frontierAt(from, read)).hashes().toString('base64') : null,
      beyond: next === null ? lines.filter(({ position }) => position >= size).map(toEntry) : [],
    };
  }

  /** Those that are in an archive's file alone; their hashes are in the tiles. */
  private async archived(
    from: number,
    to: number,
    records: readonly LogEntry[],
    read: ReadTile,
  ): Promise<LogEntry[]> {
    const here = new Set(records.map(({ position }) => position));
    const absent = Array.from({ length: to - from }, (_, index) => from + index).filter(
      (position) => !here.has(position),
    );
    const entries: LogEntry[] = [];
    for (const { position, archive } of await this.reader.archived(absent)) {
      const tile = await read(0, Math.floor(position / tile_hashes));
      const leaf = hashAt(tile, position % tile_hashes).toString('base64');
      entries.push({ position, line: null, archived: { archive, leaf } });
    }
    return entries;
  }
}

const toEntry = ({ position, line }: PlacedLine): LogEntry => ({ position, line, archived: null });
const byPosition = (one: LogEntry, other: LogEntry): number => one.position - other.position;

/** Several rows of one position, which are another hand's work, stay on one page: the next begins behind them. */
function wholePositions(page: PlacedLine[], all: readonly PlacedLine[]): PlacedLine[] {
  const next = all[page.length]?.position;
  const whole = page.filter(({ position }) => position !== next);
  return whole.length > 0 ? whole : page;
}

/** As many as fit a message, the first in any case. */
function fitting(lines: readonly PlacedLine[]): PlacedLine[] {
  let bytes = 0;
  const end = lines.findIndex(({ line }, index) => {
    bytes += Buffer.byteLength(JSON.stringify(line)) + 64;
    return index > 0 && bytes > page_bytes_max;
  });
  return end === -1 ? [...lines] : lines.slice(0, end);
}

import type { LogEntry, LogRecords, LogRecordsGet } from '#libs/contracts';
import { frontierAt } from '#libs/tlog';
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
   * One page. It may hold fewer records than asked for when they are large; the end is where `next` is null. A position
   * that it passes over has no record.
   */
  async records({ from, limit, frontier }: LogRecordsGet): Promise<LogRecords> {
    const { origin, size, lines } = await this.reader.lines(from, limit + beyond_max);
    if (from > size) throw refusal.noSuchSize(size);
    const there = lines.filter(({ position }) => position < size);
    const within = wholePositions(fitting(there.slice(0, limit)), there);
    const isAll = within.length === there.length;
    const next = isAll ? null : (within.at(-1)?.position ?? from) + 1;
    const read = this.reader.tiles(size);
    return {
      origin,
      size,
      entries: within.map(toEntry),
      next,
      frontier: frontier ? (await frontierAt(from, read)).hashes().toString('base64') : null,
      beyond: isAll ? lines.filter(({ position }) => position >= size).map(toEntry) : [],
    };
  }
}

const toEntry = ({ position, line }: PlacedLine): LogEntry => ({ position, line, archived: null });

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

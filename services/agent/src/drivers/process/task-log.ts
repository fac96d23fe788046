import {
  closeSync,
  mkdirSync,
  openSync,
  readSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
  fstatSync,
} from 'node:fs';
import { join } from 'node:path';
import type { LogLine } from '../driver.js';

/** A file that has grown beyond this is cut back. */
export const FILE_BYTES_MAX = 4 * 1024 * 1024;
/** What is kept of it, in a second file. */
const KEPT_BYTES = 1024 * 1024;
const LINE_BYTES_MAX = 8 * 1024;
const streams = ['stdout', 'stderr'] as const;

/** What a process writes, in files of its own, because it goes on writing when the agent is not there. */
export class TaskLog {
  constructor(private readonly dir: string) {}

  /** Descriptors for a child; close them once it has been started. */
  open(): { stdout: number; stderr: number } {
    mkdirSync(this.dir, { recursive: true, mode: 0o700 });
    // Appending, so that the child goes on at the new end after `trim`.
    return {
      stdout: openSync(this.path('stdout'), 'a', 0o600),
      stderr: openSync(this.path('stderr'), 'a', 0o600),
    };
  }

  /** Cuts back files that have grown too large. A line written in this moment may be lost. */
  trim(): void {
    for (const stream of streams) {
      const path = this.path(stream);
      const size = statSync(path, { throwIfNoEntry: false })?.size ?? 0;
      if (size <= FILE_BYTES_MAX) continue;
      writeFileSync(`${path}.1`, tail(path, KEPT_BYTES), { mode: 0o600 });
      truncateSync(path);
    }
  }

  remove(): void {
    rmSync(this.dir, { recursive: true, force: true });
  }

  /** The last lines of both streams in order of their times, at most 1 MiB of each. */
  last(lines: number): LogLine[] {
    return streams
      .flatMap((stream) => this.linesOf(stream))
      .sort((a, b) => (a.at < b.at ? -1 : a.at > b.at ? 1 : 0))
      .slice(-lines);
  }

  private linesOf(stream: LogLine['stream']): LogLine[] {
    const path = this.path(stream);
    const modified = statSync(path, { throwIfNoEntry: false })?.mtime.toISOString();
    if (modified === undefined) return [];
    const now = tail(path, KEPT_BYTES);
    const bytes =
      now.length < KEPT_BYTES ? Buffer.concat([tail(`${path}.1`, KEPT_BYTES - now.length), now]) : now;
    const texts = bytes.toString('utf8').split('\n');
    // What comes after the last line's end is not a line yet.
    texts.pop();
    const times = texts.map(timeIn);
    let at = times.find((time) => time !== null) ?? modified;
    return texts.map((text, index) => {
      const time = times[index] ?? at;
      // In the order of the file, whatever the bot says of the time.
      if (time > at) at = time;
      return { at, stream, text: Buffer.from(text).subarray(0, LINE_BYTES_MAX).toString('utf8') };
    });
  }

  private path(stream: LogLine['stream']): string {
    return join(this.dir, `${stream}.log`);
  }
}

/** The last bytes of a file, nothing when there is none. */
function tail(path: string, bytes_max: number): Buffer {
  if (statSync(path, { throwIfNoEntry: false }) === undefined) return Buffer.alloc(0);
  const file = openSync(path, 'r');
  try {
    const { size } = fstatSync(file);
    const bytes = Buffer.alloc(Math.min(size, bytes_max));
    const length = readSync(file, bytes, 0, bytes.length, size - bytes.length);
    return bytes.subarray(0, length);
  } finally {
    closeSync(file);
  }
}

/** Our bots write JSON with a `time`; other lines have the time of the one before. */
function timeIn(text: string): string | null {
  const time = /^\{.{0,200}?"time":\s?"(\d{4}-\d\d-\d\dT[\d:.]+(?:Z|\+00:00))"/.exec(text)?.[1];
  return time === undefined ? null : new Date(time).toISOString();
}

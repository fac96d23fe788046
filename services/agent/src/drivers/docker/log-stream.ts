import type { LogLine } from '../driver.js';

/** Docker cuts what a program writes into messages of 16 KiB; a frame much larger is not a frame. */
const FRAME_BYTES_MAX = 1024 * 1024;
const HEADER_BYTES = 8;
/** A longer line is cut. */
export const LINE_BYTES_MAX = 8 * 1024;

interface Frame {
  readonly stream: LogLine['stream'];
  readonly payload: Buffer;
}

/** Takes Docker's multiplexed stream apart: one byte of stream, three of nothing, four of length, then the payload. */
export async function* frames(bytes: AsyncIterable<Buffer>): AsyncGenerator<Frame> {
  let rest: Buffer = Buffer.alloc(0);
  for await (const chunk of bytes) {
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    while (rest.length >= HEADER_BYTES) {
      const length = rest.readUInt32BE(4);
      if (length > FRAME_BYTES_MAX) throw new Error(`a log frame of ${length} bytes is not credible`);
      if (rest.length < HEADER_BYTES + length) break;
      const stream = rest.readUInt8(0) === 2 ? 'stderr' : 'stdout';
      yield { stream, payload: rest.subarray(HEADER_BYTES, HEADER_BYTES + length) };
      rest = rest.subarray(HEADER_BYTES + length);
    }
  }
}

/**
 * The last `lines_max` lines of a log asked for with timestamps. Holds no more than those in memory, however much
 * comes. Every message begins with its time; a message without a line's end continues in the next of its stream,
 * and since it is then longer than a line may be, the rest is dropped.
 */
export async function lastLines(bytes: AsyncIterable<Buffer>, lines_max: number): Promise<LogLine[]> {
  const lines: LogLine[] = [];
  const unfinished = { stdout: false, stderr: false };
  for await (const { stream, payload } of frames(bytes)) {
    const continues = unfinished[stream];
    unfinished[stream] = payload.at(-1) !== 0x0a;
    if (continues) continue;
    const space = payload.indexOf(0x20);
    if (space < 0) continue;
    const end = unfinished[stream] ? payload.length : payload.length - 1;
    const text = payload.subarray(space + 1, Math.min(end, space + 1 + LINE_BYTES_MAX)).toString('utf8');
    lines.push({ at: payload.toString('latin1', 0, space), stream, text });
    if (lines.length > lines_max) lines.shift();
  }
  return lines;
}

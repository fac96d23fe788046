import { describe, expect, it } from '@jest/globals';
import { LINE_BYTES_MAX, lastLines } from './log-stream.js';

const at = '2026-01-01T00:00:00.123456789Z';

function frame(stream: 1 | 2, text: string): Buffer {
  const payload = Buffer.from(text);
  const header = Buffer.alloc(8);
  header.writeUInt8(stream, 0);
  header.writeUInt32BE(payload.length, 4);
  return Buffer.concat([header, payload]);
}

async function* inPieces(bytes: Buffer, size: number): AsyncGenerator<Buffer> {
  for (let from = 0; from < bytes.length; from += size) yield bytes.subarray(from, from + size);
}

describe('lastLines', () => {
  it.each([1, 3, 8, 1000])('takes the stream apart when it comes in pieces of %d bytes', async (size) => {
    const bytes = Buffer.concat([
      frame(1, `${at} one\n`),
      frame(2, `${at} größer  \n`),
      frame(1, `${at} \n`),
    ]);
    expect(await lastLines(inPieces(bytes, size), 10)).toEqual([
      { at, stream: 'stdout', text: 'one' },
      { at, stream: 'stderr', text: 'größer  ' },
      { at, stream: 'stdout', text: '' },
    ]);
  });

  it('keeps the last ones', async () => {
    const bytes = Buffer.concat(['a', 'b', 'c'].map((text) => frame(1, `${at} ${text}\n`)));
    const lines = await lastLines(inPieces(bytes, 100), 2);
    expect(lines.map(({ text }) => text)).toEqual(['b', 'c']);
  });

  it('cuts a long line, which comes as several messages, and finds the next', async () => {
    const part = 'x'.repeat(16 * 1024);
    const bytes = Buffer.concat([
      frame(1, `${at} ${part}`),
      frame(2, `${at} other stream\n`),
      frame(1, `${at} ${part}`),
      frame(1, `${at} end\n`),
      frame(1, `${at} next\n`),
    ]);
    const lines = await lastLines(inPieces(bytes, 4096), 10);
    expect(lines.map(({ text }) => text.slice(0, 12))).toEqual(['xxxxxxxxxxxx', 'other stream', 'next']);
    expect(lines[0]?.text).toHaveLength(LINE_BYTES_MAX);
  });

  it('does not believe a frame of a gigabyte', async () => {
    const header = Buffer.from([1, 0, 0, 0, 0x40, 0, 0, 0]);
    await expect(lastLines(inPieces(header, 8), 10)).rejects.toThrow('not credible');
  });
});

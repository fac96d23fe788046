import type { Readable } from 'node:stream';

/** No event or progress report is nearly so long. */
const LINE_CHARACTERS_MAX = 1024 * 1024;

/**
 * The JSON values of a stream that has one on each line. Ends with the stream; throws when it breaks, when a line is
 * not JSON or has no end, and when nothing at all comes for `silence_ms` (null: it may be silent for ever).
 */
export async function* jsonLines(bytes: Readable, silence_ms: number | null): AsyncGenerator {
  const watchdog = silence_ms === null ? null : watch(bytes, silence_ms);
  let rest = '';
  try {
    for await (const chunk of bytes.setEncoding('utf8') as AsyncIterable<string>) {
      watchdog?.refresh();
      const lines = (rest + chunk).split('\n');
      rest = lines.pop() ?? '';
      if (rest.length > LINE_CHARACTERS_MAX) throw new Error('a line without end');
      for (const line of lines) if (line.trim() !== '') yield JSON.parse(line) as unknown;
    }
    if (rest.trim() !== '') yield JSON.parse(rest) as unknown;
  } finally {
    clearTimeout(watchdog ?? undefined);
  }
}

function watch(bytes: Readable, silence_ms: number): NodeJS.Timeout {
  return setTimeout(() => bytes.destroy(new Error(`nothing came for ${silence_ms} ms`)), silence_ms);
}

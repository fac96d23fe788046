import { type ErrorCode, errorCodes, Problem, ProblemError } from '#libs/contracts';
import { z } from 'zod';

/** More than the last words of an export that failed ever are. */
const last_bytes_max = 8 * 1024;

const LastLine = z.strictObject({ error: Problem });

/** Passes an export on; throws the `ProblemError` it ends with when it is cut short. */
export async function* readExport(body: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer> {
  let last: Uint8Array = new Uint8Array();
  try {
    for await (const chunk of body) {
      const both = chunk.length >= last_bytes_max ? chunk : Buffer.concat([last, chunk]);
      last = both.subarray(Math.max(0, both.length - last_bytes_max));
      yield Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length);
    }
  } catch (error) {
    // Undici's word for an answer without its last chunk.
    if ((error as { message?: unknown } | null)?.message !== 'terminated') throw error;
    throw problemAtEnd(Buffer.from(last).toString('utf8')) ?? cutShort(error);
  }
}

const cutShort = (cause: unknown): ProblemError =>
  new ProblemError('unavailable', 'Export again: the connection to the gateway broke.', { cause });

/** Of an NDJSON line `{"error":{…}}` or a CSV row `error,<code>,<detail>,…`. */
function problemAtEnd(text: string): ProblemError | null {
  const line = text.trimEnd().split('\n').at(-1) ?? '';
  const [, code, quoted, plain] = /^error,([a-z_]+),(?:"((?:[^"]|"")*)"|([^",]*)),+$/.exec(line) ?? [];
  if (code !== undefined && Object.hasOwn(errorCodes, code))
    return new ProblemError(code as ErrorCode, quoted?.replaceAll('""', '"') ?? plain ?? '');
  try {
    return ProblemError.fromProblem(LastLine.parse(JSON.parse(line)).error);
  } catch {
    return null; // an event, or a part of one: there was no time for last words
  }
}

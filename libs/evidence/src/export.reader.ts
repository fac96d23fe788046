import { open } from 'node:fs/promises';
import { ExportHeader, ExportInvalid, ExportMarker, recordStart, type ExportItem } from './export.format.js';

/** The longest line there is: an event's body as text within text. */
const line_bytes_max = 4 * 1024 * 1024;
const chunk_bytes = 256 * 1024;
const lineFeed = 0x0a;

/** The lines of a file, without their line feeds. A line is valid until the next one is asked for. */
export async function* readLines(path: string): AsyncGenerator<Buffer> {
  const file = await open(path, 'r');
  try {
    let rest = Buffer.alloc(0);
    for (;;) {
      const chunk = Buffer.allocUnsafe(chunk_bytes);
      const { bytesRead } = await file.read(chunk, 0, chunk_bytes);
      if (bytesRead === 0) break;
      const bytes =
        rest.length === 0
          ? chunk.subarray(0, bytesRead)
          : Buffer.concat([rest, chunk.subarray(0, bytesRead)]);
      let from = 0;
      for (let end = bytes.indexOf(lineFeed); end !== -1; end = bytes.indexOf(lineFeed, from)) {
        yield bytes.subarray(from, end);
        from = end + 1;
      }
      rest = bytes.subarray(from);
      if (rest.length > line_bytes_max)
        throw new ExportInvalid('A line of the file is too long for a record.');
    }
    if (rest.length > 0) yield rest;
  } finally {
    await file.close();
  }
}

/** The lines of an export. Throws `ExportInvalid` when it is none, or ends before its end. */
export async function* readExport(path: string): AsyncGenerator<ExportItem> {
  let number = 0;
  let isWhole = false;
  for await (const line of readLines(path)) {
    number += 1;
    if (isWhole) throw new ExportInvalid(`Line ${number} stands behind the end.`);
    if (number === 1) {
      yield { kind: 'header', header: parse(ExportHeader, line, number) };
    } else if (line.subarray(0, recordStart.length).equals(recordStart)) {
      yield { kind: 'record', line };
    } else {
      const marker = parse(ExportMarker, line, number);
      isWhole = 'end' in marker;
      yield { kind: 'marker', marker };
    }
  }
  if (!isWhole) throw new ExportInvalid('The file ends before the export does: export again.');
}

function parse<T>(
  schema: { safeParse(value: unknown): { success: true; data: T } | { success: false } },
  line: Buffer,
  number: number,
): T {
  const parsed = schema.safeParse(jsonOrNull(line));
  if (!parsed.success) throw new ExportInvalid(`Line ${number} is not one of an export of the audit log.`);
  return parsed.data;
}

/** What a text is as JSON; null when it is none. */
export function jsonOrNull(line: Buffer | string): unknown {
  try {
    return JSON.parse(line.toString('utf8')) as unknown;
  } catch {
    return null;
  }
}

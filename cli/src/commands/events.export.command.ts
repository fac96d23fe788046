import { Command, Option } from 'commander';
import { createWriteStream, existsSync } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import { resolve } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { UsageError } from '../exit.codes.js';
import type { Perform, Session } from '../session.js';
import { type FilterOptions, wholeFilter, withFilters } from './event.filters.js';

interface ExportOptions extends FilterOptions {
  readonly format: 'ndjson' | 'csv';
  readonly out?: string;
}

const progress_ms = 1000;
const newline = 0x0a;

export function eventsExportCommand(perform: Perform): Command {
  const command = new Command('export').description('write all events that fit, oldest first, to a file');
  return withFilters(command)
    .addOption(new Option('--format <format>', '').choices(['ndjson', 'csv']).default('ndjson'))
    .option('--out <file>', 'where to; it is there once it is whole (default: standard output)')
    .action((options: ExportOptions, command: Command) =>
      perform(command, async (session) => {
        const { format, out } = options;
        const { gateway, surroundings } = session;
        const request = { ...wholeFilter(options, session), format };
        const pieces = gateway.exportEvents(request, surroundings.interrupted);
        if (out === undefined) await pipeline(pieces, surroundings.stdout, { end: false });
        else await toFile(pieces, format, out, session);
        return undefined;
      }),
    );
}

/** Under another name until it is whole, so that nobody takes a part for all. Only its owner may read it. */
async function toFile(
  pieces: AsyncIterable<Uint8Array>,
  format: ExportOptions['format'],
  out: string,
  { printer, surroundings }: Session,
): Promise<void> {
  const file = resolve(surroundings.cwd, out);
  if (existsSync(file)) throw new UsageError(`${out} is there already; name another file with --out.`);
  const part = `${file}.part`;
  const told = { lines: 0, bytes: 0, at_ms: surroundings.clock.monotonicMs() };
  const events = () => Math.max(0, told.lines - (format === 'csv' ? 1 : 0));
  async function* counted(): AsyncGenerator<Uint8Array> {
    for await (const piece of pieces) {
      told.bytes += piece.length;
      told.lines += countLines(piece);
      const now_ms = surroundings.clock.monotonicMs();
      if (now_ms - told.at_ms >= progress_ms) {
        told.at_ms = now_ms;
        printer.progress(`${events()} events, ${(told.bytes / 2 ** 20).toFixed(0)} MiB`);
      }
      yield piece;
    }
  }
  try {
    await pipeline(counted(), createWriteStream(part, { mode: 0o600, flush: true }));
    await rename(part, file);
  } catch (error) {
    await rm(part, { force: true });
    throw error;
  }
  const summary = { file, format, events: events(), bytes: told.bytes };
  printer.answer(summary, () => printer.line(`${summary.events} events in ${file}.`));
}

/** Both formats end each event with a line feed, and have none within it. */
function countLines(piece: Uint8Array): number {
  let lines = 0;
  for (let at = piece.indexOf(newline); at >= 0; at = piece.indexOf(newline, at + 1)) lines += 1;
  return lines;
}

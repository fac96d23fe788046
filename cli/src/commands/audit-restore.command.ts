import { Command, Option } from 'commander';
import { logLimits, type LogRestore } from '#libs/contracts';
import { placedRecords, readExport } from '#libs/evidence';
import { resolve } from 'node:path';
import { withFiles } from '../log.files.js';
import { integer } from '../option.values.js';
import type { Perform, Session } from '../session.js';

const position = integer(0, Number.MAX_SAFE_INTEGER);
/** A request must fit one message, with its envelope; a line is quoted in it. */
const request_bytes_max = 400 * 1024;

interface RangeOptions {
  readonly from?: number;
  readonly to?: number;
}

/** What became of the records of an export. */
interface Outcome {
  restored: number;
  present: number;
  archived: number;
}

/** `tradefleet audit restore` */
export function restoreCommand(perform: Perform): Command {
  return new Command('restore')
    .description('put records back that the log has lost, from an export; it takes only what was committed')
    .argument('<file>', 'written by `audit export` before they were lost')
    .addOption(new Option('--from <position>', 'first record').argParser(position))
    .addOption(new Option('--to <position>', 'record to end before').argParser(position))
    .action((file: string, range: RangeOptions, command: Command) =>
      perform(command, async (session) => {
        const path = resolve(session.surroundings.cwd, file);
        const outcome = await withFiles(async () => await restore(path, range, session));
        session.printer.answer(outcome, () => {
          session.printer.line(`${outcome.restored} records put back.`, 'good');
          session.printer.line(`${outcome.present} were there, ${outcome.archived} are in archives.`);
        });
        return undefined;
      }),
    );
}

async function restore(path: string, range: RangeOptions, session: Session): Promise<Outcome> {
  const { gateway, printer, surroundings } = session;
  const outcome: Outcome = { restored: 0, present: 0, archived: 0 };
  for await (const records of batches(path, range)) {
    surroundings.interrupted.throwIfAborted();
    const done = await gateway.call('log.restore', { records });
    outcome.restored += done.restored;
    outcome.present += done.present;
    outcome.archived += done.archived;
    printer.progress(`${records.at(-1)?.position ?? 0}: ${outcome.restored} records put back`);
  }
  return outcome;
}

/** The records of an export, as many at a time as one request holds. */
async function* batches(
  path: string,
  { from = 0, to = Infinity }: RangeOptions,
): AsyncGenerator<LogRestore['records']> {
  let batch: LogRestore['records'] = [];
  let bytes = 0;
  for await (const placed of placedRecords(readExport(path))) {
    if (!('line' in placed) || placed.at < from) continue;
    if (placed.at >= to) break;
    const record = { position: placed.at, line: placed.line.toString('utf8') };
    const length = Buffer.byteLength(JSON.stringify(record));
    if (batch.length === logLimits.restore_max || (batch.length > 0 && bytes + length > request_bytes_max)) {
      yield batch;
      [batch, bytes] = [[], 0];
    }
    batch.push(record);
    bytes += length;
  }
  if (batch.length > 0) yield batch;
}

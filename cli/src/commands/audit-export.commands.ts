import { Command, Option } from 'commander';
import {
  exportLog,
  readEvidence,
  readExport,
  readPublicKey,
  verifyExport,
  type LeftOut,
} from '#libs/evidence';
import { existsSync } from 'node:fs';
import { open, rename, rm } from 'node:fs/promises';
import { resolve } from 'node:path';
import { findArchives } from '../archive.files.js';
import { exitCodes, UsageError } from '../exit.codes.js';
import { withFiles } from '../log.files.js';
import { integer } from '../option.values.js';
import { showArchiveFiles, showLeftOut, showVerdict } from '../output/log.views.js';
import type { Perform, Session } from '../session.js';

const position = integer(0, Number.MAX_SAFE_INTEGER);
const progress_ms = 1000;

interface RangeOptions {
  readonly from?: number;
  readonly to?: number;
}

/** `tradefleet audit export` */
export function exportCommand(perform: Perform): Command {
  return new Command('export')
    .description('write the log as it is hashed, with its checkpoints, to a file that `audit verify` reads')
    .requiredOption('--out <file>', 'where to; it is there once it is whole')
    .addOption(new Option('--from <position>', 'first record').argParser(position))
    .addOption(new Option('--to <position>', 'record to end before').argParser(position))
    .action((options: RangeOptions & { out: string }, command: Command) =>
      perform(command, async (session) => {
        const file = resolve(session.surroundings.cwd, options.out);
        if (existsSync(file))
          throw new UsageError(`${options.out} is there already; name another file with --out.`);
        const { records, archives } = await writeWhole(file, options, session);
        const { printer } = session;
        printer.answer({ file, records, archives }, () => {
          printer.line(`${records} records in ${file}.`);
          for (const { archive, toldAt } of archives) showLeftOut(printer, archive, toldAt);
        });
        return undefined;
      }),
    );
}

/** Under another name until it is whole, so that nobody takes a part for all. Only its owner may read it. */
async function writeWhole(
  file: string,
  range: RangeOptions,
  session: Session,
): Promise<{ records: number; archives: LeftOut[] }> {
  const { gateway, printer, surroundings } = session;
  const { clock, interrupted } = surroundings;
  const part = `${file}.part`;
  const out = await open(part, 'w', 0o600);
  let told_ms = clock.monotonicMs();
  let records = 0;
  const archives: LeftOut[] = [];
  try {
    const options = { ...range, exportedAt: new Date(clock.wallMs()) };
    for await (const { text, progress, archives: leftOut } of exportLog(gateway, options)) {
      interrupted.throwIfAborted();
      archives.push(...leftOut);
      await out.appendFile(text);
      records = progress.position - (range.from ?? 0);
      if (clock.monotonicMs() - told_ms < progress_ms) continue;
      told_ms = clock.monotonicMs();
      printer.progress(`${progress.position} of ${progress.to} records`);
    }
    await out.sync();
    await out.close();
    await rename(part, file);
    return { records, archives };
  } catch (error) {
    await out.close();
    await rm(part, { force: true });
    throw error;
  }
}

interface VerifyCommandOptions extends RangeOptions {
  readonly against?: string;
  readonly key?: string;
  readonly archives?: string;
}

/** `tradefleet audit verify` */
export function verifyCommand(perform: Perform): Command {
  return new Command('verify')
    .description(
      'whether an exported log is what was seen of it; needs no fleet, and names the first difference',
    )
    .argument('<file>', 'written by `audit export`')
    .option(
      '--against <path>',
      'a file with checkpoints, or the folder of a witness, from outside the database',
    )
    .option('--key <file>', 'public key of the log, as JWK, from outside the database')
    .option('--archives <folder>', 'also prove the files of the archives that the log tells of')
    .addOption(new Option('--from <position>', 'judge the records from here on').argParser(position))
    .addOption(new Option('--to <position>', 'judge the records before here').argParser(position))
    .action((file: string, options: VerifyCommandOptions, command: Command) =>
      perform(command, async (session) => {
        const { printer } = session;
        const verdict = await withFiles(async () => await verify(file, options, session));
        const { archives: folder } = options;
        const files =
          folder === undefined
            ? null
            : await findArchives(resolve(session.surroundings.cwd, folder), verdict);
        printer.answer({ ...verdict, files }, () => {
          showVerdict(printer, verdict);
          if (files !== null) showArchiveFiles(printer, files);
        });
        const isWhole = files?.every(({ fault }) => fault === null) ?? true;
        return verdict.isAsSeen && isWhole ? exitCodes.ok : exitCodes.problem;
      }),
    );
}

async function verify(
  file: string,
  { against, key, from, to }: VerifyCommandOptions,
  { printer, surroundings }: Session,
) {
  const path = (name: string): string => resolve(surroundings.cwd, name);
  return await verifyExport({
    open: () => readExport(path(file)),
    evidence: async (origin) => (against === undefined ? null : await readEvidence(path(against), origin)),
    key: key === undefined ? null : await readPublicKey(path(key)),
    ...(from === undefined ? {} : { from }),
    ...(to === undefined ? {} : { to }),
    onProgress: (at, size) => {
      surroundings.interrupted.throwIfAborted();
      printer.progress(`${at} of ${size} records`);
    },
  });
}

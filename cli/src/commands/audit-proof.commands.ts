import { Command, Option } from 'commander';
import { Id, type LogInclusion, type PublicJwk } from '#libs/contracts';
import { openCheckpoint, readEvidence, readPublicKey, toKeyObject } from '#libs/evidence';
import { leafHash, verifyInclusion, type Checkpoint } from '#libs/tlog';
import { resolve } from 'node:path';
import { exitCodes, FileFault, UsageError } from '../exit.codes.js';
import { withFiles } from '../log.files.js';
import type { Printer } from '../output/printer.js';
import type { Perform, Session } from '../session.js';

/** `tradefleet audit checkpoint` */
export function checkpointCommand(perform: Perform): Command {
  return new Command('checkpoint')
    .description(
      'the last signed checkpoint of the log, to be kept elsewhere: `audit checkpoint > checkpoint.txt`',
    )
    .action((_options: object, command: Command) =>
      perform(command, async ({ gateway, printer }) => {
        const state = await gateway.call('log.checkpoint', {});
        printer.answer(state, () => showNote(printer, state.checkpoint?.note ?? null));
        const { diverged, damage } = state;
        if (diverged !== null) printer.note(`No more checkpoints are made. ${diverged.detail}`);
        if (damage !== null) printer.note(`Damaged at ${damage.position}, ${damage.what}: ${damage.detail}`);
        return diverged === null && damage === null ? exitCodes.ok : exitCodes.problem;
      }),
    );
}

interface ProofOptions {
  readonly against?: string;
  readonly key?: string;
}

/** `tradefleet audit proof` */
export function proofCommand(perform: Perform): Command {
  return new Command('proof')
    .description('prove that an event is in the log, by its last checkpoint or by one that was kept')
    .argument('<event>', 'its id, or its position in the log')
    .addOption(new Option('--against <file>', 'a checkpoint that was kept, or the folder of a witness'))
    .option('--key <file>', "public key of the log, as JWK (default: the fleet's word)")
    .action((event: string, options: ProofOptions, command: Command) =>
      perform(command, async (session) => {
        const { printer } = session;
        const { inclusion, checkpoint } = await withFiles(async () => await prove(event, options, session));
        printer.answer(inclusion, () => {
          printer.line('The event is in the log.', 'good');
          printer.sheet([
            ['position', inclusion.position],
            ['log', inclusion.origin],
            ['checkpoint of', `${checkpoint.size} records`],
            ['hashes', inclusion.proof.length],
          ]);
        });
        return exitCodes.ok;
      }),
    );
}

async function prove(
  event: string,
  options: ProofOptions,
  session: Session,
): Promise<{ inclusion: LogInclusion; checkpoint: Checkpoint }> {
  const { gateway, surroundings } = session;
  const path = (name: string): string => resolve(surroundings.cwd, name);
  const { origin, key: told } = await gateway.call('log.checkpoint', {});
  const key = options.key === undefined ? told : await readPublicKey(path(options.key));
  const kept =
    options.against === undefined ? null : await keptCheckpoint(path(options.against), origin, key);
  const inclusion = await gateway.call('log.inclusion', {
    ...which(event),
    ...(kept === null ? {} : { size: kept.size }),
  });
  const checkpoint = kept ?? openCheckpoint(inclusion.note ?? '', origin, toKeyObject(key));
  if (checkpoint === null)
    throw new FileFault('The checkpoint that came with the proof is not signed by the key.');
  requireProof(inclusion, checkpoint);
  return { inclusion, checkpoint };
}

/** The last one that the key has signed. */
async function keptCheckpoint(path: string, origin: string, key: PublicJwk): Promise<Checkpoint> {
  let last: Checkpoint | null = null;
  for await (const note of (await readEvidence(path, origin)).notes())
    last = openCheckpoint(note, origin, toKeyObject(key)) ?? last;
  if (last === null) throw new FileFault(`${path} has no checkpoint of ${origin} that the key has signed.`);
  return last;
}

function requireProof(inclusion: LogInclusion, { size, root }: Checkpoint): void {
  const { position, line } = inclusion;
  const leaf = line === null ? Buffer.from(inclusion.leaf, 'base64') : leafHash(line);
  const proof = inclusion.proof.map((hash) => Buffer.from(hash, 'base64'));
  if (inclusion.size !== size || !verifyInclusion({ position, size, leaf, proof, root }))
    throw new FileFault(
      `The proof does not hold: the record at ${position} is not the one that the checkpoint of ${size} records was signed over.`,
    );
}

function which(event: string): { id: string } | { position: number } {
  if (/^\d{1,15}$/.test(event)) return { position: Number(event) };
  if (Id.safeParse(event).success) return { id: event };
  throw new UsageError('Name an event by its id, or by its position.');
}

function showNote(printer: Printer, note: string | null): void {
  if (note === null) printer.line('There is no checkpoint yet.');
  else for (const line of note.trimEnd().split('\n')) printer.line(line);
}

import type { LogDivergence } from '#libs/contracts';
import { emptyRoot, Frontier, frontierAt, hash_bytes, MissingHashes, splitHashes } from '#libs/tlog';
import type { LogSnapshot } from './checkpoint.repository.js';
import type { LogKey } from './log-key.js';
import type { WitnessFiles, WitnessState } from './witness.files.js';

/** Hashes that are held in memory at once: 2 MiB. */
const leaves_a_step = 65_536;

/** The database is not what the witness has seen; what has been signed stays, and nothing more is. */
export class LogDiverged extends Error {
  override readonly name = 'LogDiverged';

  constructor(readonly divergence: LogDivergence) {
    super(divergence.detail);
  }
}

/** The log as it can be signed. */
export interface Vouched {
  readonly frontier: Frontier;
  readonly note: string;
  /** The witness has this note already. */
  readonly isKnown: boolean;
}

/**
 * Holds the database to everything that has left it, then lets the witness see what is new:
 *
 *   last note of the witness (or, of a new one, of the database) -> the same log, grown
 *     -> hashes the witness has beyond it -> the same
 *     -> hashes beyond these, up to the head -> the head's own root -> append, fsync -> note, fsync
 *
 * Throws `LogDiverged` when anything of it is not so.
 */
export async function vouch(
  log: LogSnapshot,
  witness: WitnessFiles,
  key: LogKey,
  /** Of what was vouched for before, so that it need not be read again. */
  known: Frontier | null = null,
): Promise<Vouched> {
  const state = await witness.state();
  const judge = new Judge(log, state, key);
  judge.requireKey();
  const base = judge.base();
  judge.requireSize(base.size);
  const isSame = known?.size === base.size && known.root().equals(base.root);
  const frontier = isSame ? known.clone() : await judge.frontierAtBase(base);
  await judge.requireSameLeaves(frontier, base.size, witness);
  const root = frontier.root();
  const isKnown = log.head.size === base.size && (base.isOfWitness || base.size === 0);
  if (isKnown) return { frontier, note: base.note, isKnown };
  if (state.key === null) await witness.keepKey(key.publicJwk);
  await appendLeaves(log, state, witness);
  const note = key.sign(log.head.size, root);
  await witness.appendNote(note, state);
  return { frontier, note, isKnown };
}

/** What is already vouched for. */
interface Base {
  readonly size: number;
  readonly root: Buffer;
  readonly note: string;
  readonly isOfWitness: boolean;
}

class Judge {
  constructor(
    private readonly log: LogSnapshot,
    private readonly state: WitnessState,
    private readonly key: LogKey,
  ) {}

  requireKey(): void {
    const { key } = this.state;
    if (key !== null && key.x !== this.key.publicJwk.x)
      throw this.diverged('witness-damaged', 'The witness was begun under another key.');
  }

  /** The last note of the witness; a new witness begins with what the database has signed notes of. */
  base(): Base {
    const known = this.state.notes.map((note) => ({ note, checkpoint: this.key.open(note) }));
    const last = known.findLast(({ checkpoint }) => checkpoint !== null);
    if (last?.checkpoint != null) {
      const { size, root } = last.checkpoint;
      if (this.state.leaves < size)
        throw this.diverged('witness-damaged', 'The witness has fewer hashes than its last note says.');
      return { size, root, note: last.note, isOfWitness: true };
    }
    if (known.length > 1)
      throw this.diverged('witness-damaged', 'None of the last notes of the witness is signed by this key.');
    const own = this.log.note === null ? null : this.key.open(this.log.note);
    if (this.log.note !== null && own === null)
      throw this.diverged('other-records', 'The last checkpoint in the database is not signed by this key.');
    return {
      size: own?.size ?? 0,
      root: own?.root ?? emptyRoot,
      note: this.log.note ?? '',
      isOfWitness: false,
    };
  }

  requireSize(base: number): void {
    const seen = Math.max(base, this.state.leaves);
    if (this.log.head.size < seen)
      throw this.diverged(
        'shorter',
        `The database has ${this.log.head.size} records where ${seen} were seen: an older copy, or its end was cut off.`,
      );
  }

  async frontierAtBase({ size, root }: Base): Promise<Frontier> {
    const frontier = await this.found(async () => await frontierAt(size, this.log.read));
    if (!frontier.root().equals(root))
      throw this.diverged('other-records', `The first ${size} records are not those that were signed.`);
    return frontier;
  }

  /** Goes on with the frontier to the head, which must be the same; what the witness has seen of it must be so, too. */
  async requireSameLeaves(frontier: Frontier, base: number, witness: WitnessFiles): Promise<void> {
    const { head } = this.log;
    for (let from = base; from < head.size; from += leaves_a_step) {
      const to = Math.min(head.size, from + leaves_a_step);
      const leaves = await this.log.leaves(from, to);
      if (leaves.length !== (to - from) * hash_bytes)
        throw this.diverged('other-records', `Records between ${from} and ${to} are missing.`);
      const seen = await witness.leaves(from, Math.min(to, this.state.leaves));
      if (!leaves.subarray(0, seen.length).equals(seen))
        throw this.diverged(
          'other-records',
          `Records from ${from} on are not those that the witness has seen.`,
        );
      for (const leaf of splitHashes(leaves)) frontier.append(leaf);
    }
    if (!frontier.hashes().equals(head.hashes))
      throw this.diverged('other-records', 'The head of the log is not that of its records.');
    const next = this.state.torn.length > 0 && head.size > this.state.leaves;
    if (next && !(await this.beginsWithTorn()))
      throw this.diverged(
        'other-records',
        `The record at ${this.state.leaves} is not the one that was seen.`,
      );
  }

  private async beginsWithTorn(): Promise<boolean> {
    const { leaves, torn } = this.state;
    return (await this.log.leaves(leaves, leaves + 1)).subarray(0, torn.length).equals(torn);
  }

  private async found<T>(read: () => Promise<T>): Promise<T> {
    try {
      return await read();
    } catch (error) {
      if (error instanceof MissingHashes) throw this.diverged('other-records', error.message);
      throw error;
    }
  }

  private diverged(what: LogDivergence['what'], detail: string): LogDiverged {
    return new LogDiverged({
      what,
      size: this.log.head.size,
      witnessSize: this.state.leaves,
      detail,
    });
  }
}

/** What the witness has not seen yet, a torn hash finished first. */
async function appendLeaves(log: LogSnapshot, state: WitnessState, witness: WitnessFiles): Promise<void> {
  let torn_bytes = state.torn.length;
  for (let from = state.leaves; from < log.head.size; from += leaves_a_step) {
    const leaves = await log.leaves(from, Math.min(log.head.size, from + leaves_a_step));
    await witness.appendLeaves(leaves.subarray(torn_bytes));
    torn_bytes = 0;
  }
}

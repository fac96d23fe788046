import { Outbox, OutboxRelay, TransactionRunner, type Transaction } from '#libs/persistence';
import { LOGGER, type Logger } from '#libs/telemetry';
import {
  Frontier,
  hash_bytes,
  levelWidth,
  splitHashes,
  tile_hashes,
  TileBuilder,
  type Tile,
} from '#libs/tlog';
import { Inject, Injectable } from '@nestjs/common';
import { AUDIT_CONFIG, type AuditConfig } from '../audit.config.js';
import { storedHashes } from '../log/hash.repository.js';
import { LOG_KEY, type LogKey } from '../log/log-key.js';
import { WitnessFiles } from '../log/witness.files.js';
import { TileRepository } from './tile.repository.js';

/** Hashes that are read at once. */
const leaves_a_step = 64 * tile_hashes;

/** The hashes that there are make another tree than the one that was signed; nothing was written. */
export class TilesNotRebuilt extends Error {
  override readonly name = 'TilesNotRebuilt';
}

/**
 * Makes lost tiles of the tree again from the hashes of the records: the witness's, and for what it has not seen those in the
 * tiles and with the records. They are kept only if the tree that they make is the one of the last signed checkpoint, and of
 * the head.
 */
@Injectable()
export class TileRebuilder {
  private readonly witness: WitnessFiles;

  constructor(
    private readonly tiles: TileRepository,
    private readonly transactions: TransactionRunner,
    private readonly outbox: Outbox,
    private readonly relay: OutboxRelay,
    @Inject(LOG_KEY) private readonly key: LogKey,
    @Inject(AUDIT_CONFIG) { witnessDir }: Pick<AuditConfig, 'witnessDir'>,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {
    this.witness = new WitnessFiles(witnessDir, key.origin);
  }

  /** How many tiles were made: 0 where none was missing, or they cannot be made, which the log tells. */
  async rebuild(): Promise<number> {
    try {
      const made = await this.transactions.run(async (tx) => await this.rebuildIn(tx));
      if (made === null) return 0;
      this.relay.wake();
      this.logger.warn({ ...made }, 'lost tiles of the log were made again');
      return made.tiles;
    } catch (error) {
      if (!(error instanceof TilesNotRebuilt)) throw error;
      this.logger.error({ err: error, remedy }, 'lost tiles of the log cannot be made again');
      return 0;
    }
  }

  private async rebuildIn(tx: Transaction): Promise<{ tiles: number; level: number; index: number } | null> {
    const head = await this.tiles.head(tx);
    const missing = new Set<string>();
    for (let level = 0; levelWidth(head.size, level + 1) > 0; level += 1)
      for (const index of await this.tiles.missing(tx, level, levelWidth(head.size, level + 1)))
        missing.add(`${level}/${index}`);
    const [first] = missing;
    if (first === undefined) return null;
    await this.writeMissing(tx, head, missing);
    const [level, index] = first.split('/').map(Number);
    const data = { tiles: missing.size, level: level ?? 0, index: index ?? 0 };
    await this.outbox.event(tx, {
      ...{ type: 'tradefleet.audit.tiles-rebuilt', id: 'log', actor: 'service:audit', data },
    });
    return data;
  }

  /** Throws `TilesNotRebuilt` after all when the whole is not what was signed: then the transaction leaves nothing. */
  private async writeMissing(
    tx: Transaction,
    head: { size: number; hashes: Buffer },
    missing: ReadonlySet<string>,
  ): Promise<void> {
    const state = await this.witness.state();
    const signed = await this.signed(tx, state.notes);
    if (signed.size > head.size)
      throw new TilesNotRebuilt(`The log has ${head.size} records, ${signed.size} were signed.`);
    const frontier = Frontier.empty();
    const builder = TileBuilder.empty();
    for (let from = 0; from < head.size; from += leaves_a_step) {
      const to = Math.min(head.size, from + leaves_a_step);
      const made: Tile[] = [];
      for (const leaf of splitHashes(await this.leaves(tx, from, to, state.leaves))) {
        frontier.append(leaf);
        made.push(...builder.append(leaf));
        if (frontier.size === signed.size && !frontier.root().equals(signed.root))
          throw new TilesNotRebuilt(`The first ${signed.size} hashes are not those that were signed.`);
      }
      const lost = made.filter(({ level, index }) => missing.has(`${level}/${index}`));
      await this.tiles.add(tx, lost);
    }
    if (!frontier.hashes().equals(head.hashes))
      throw new TilesNotRebuilt('The hashes that there are make another head of the log.');
  }

  /** What was signed last: by the word of the witness, else of the database. */
  private async signed(tx: Transaction, notes: readonly string[]): Promise<{ size: number; root: Buffer }> {
    const kept = await this.tiles.lastNote(tx, this.key.origin);
    for (const note of [...notes.toReversed(), ...(kept === null ? [] : [kept])]) {
      const checkpoint = this.key.open(note);
      if (checkpoint !== null) return checkpoint;
    }
    return { size: 0, root: Frontier.empty().root() };
  }

  private async leaves(tx: Transaction, from: number, to: number, seen: number): Promise<Buffer> {
    const known = await this.witness.leaves(from, Math.max(from, Math.min(to, seen)));
    const parts = [known];
    const stored = storedHashes(tx);
    for (let at = from + known.length / hash_bytes; at < to;) {
      const index = Math.floor(at / tile_hashes);
      const end = Math.min(to, (index + 1) * tile_hashes);
      const tile = await stored.tiles(0, index, index + 1);
      const hashes =
        tile.length > 0
          ? tile.subarray((at % tile_hashes) * hash_bytes, ((at % tile_hashes) + end - at) * hash_bytes)
          : await stored.leaves(at, end);
      if (hashes.length !== (end - at) * hash_bytes)
        throw new TilesNotRebuilt(`Records between ${at} and ${end} are missing, and so are their hashes.`);
      parts.push(hashes);
      at = end;
    }
    return Buffer.concat(parts);
  }
}

const remedy =
  'See docs/AUDIT-RECOVERY.md: bring the witness back, or the records ("tradefleet audit restore"), or the database.';

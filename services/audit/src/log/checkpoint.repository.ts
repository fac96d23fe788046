import type { LogCheckpoint } from '#libs/contracts';
import {
  hash_bytes,
  tile_bytes,
  tile_hashes,
  tileReader,
  type ReadTile,
  type StoredHashes,
} from '#libs/tlog';
import { Injectable } from '@nestjs/common';
import { DataSource, type EntityManager } from 'typeorm';
import { storedHashes } from './hash.repository.js';

/** How far the log is. */
export interface LogHead {
  readonly size: number;
  /** `Frontier.hashes()` */
  readonly hashes: Buffer;
}

/** What the database held when its head was read. */
export interface LogSnapshot {
  readonly head: LogHead;
  /** The last one there, as it was signed. */
  readonly note: string | null;
  readonly read: ReadTile;
  /** Hashes of the records `[from, to)`; fewer when some are not there. */
  leaves(from: number, to: number): Promise<Buffer>;
  add(checkpoint: LogCheckpoint): Promise<void>;
}

/** Reads the log as a whole to vouch for it, as the writer. */
@Injectable()
export class CheckpointRepository {
  constructor(private readonly dataSource: DataSource) {}

  async size(): Promise<number> {
    const [head] = await this.dataSource.query<{ size: string }[]>('SELECT size FROM audit_work.head');
    return Number(head?.size ?? 0);
  }

  /**
   * Does the work on what is committed, while nobody else does it on this database: two must not append to one witness. Null when another process has its turn.
   */
  async exclusively<T>(origin: string, work: (log: LogSnapshot) => Promise<T>): Promise<T | null> {
    // Each statement sees what was committed before it: the head is read after the lock, and what it counts stays.
    return await this.dataSource.transaction('READ COMMITTED', async (manager) => {
      const [lock] = await manager.query<{ mine: boolean }[]>(
        "SELECT pg_try_advisory_xact_lock(hashtextextended('tradefleet:audit:witness', 0)) AS mine",
      );
      return lock?.mine === true ? await work(await snapshot(manager, origin)) : null;
    });
  }
}

async function snapshot(manager: EntityManager, origin: string): Promise<LogSnapshot> {
  const [head] = await manager.query<{ size: string; frontier: Buffer }[]>(
    'SELECT size, frontier FROM audit_work.head',
  );
  if (head === undefined) throw new Error('The head of the log is missing.');
  const [last] = await manager.query<{ note: string }[]>(
    'SELECT note FROM audit.checkpoints WHERE origin = $1 ORDER BY size DESC LIMIT 1',
    [origin],
  );
  const size = Number(head.size);
  const stored = storedHashes(manager);
  return {
    head: { size, hashes: head.frontier },
    note: last?.note ?? null,
    read: tileReader(size, stored),
    leaves: async (from, to) => await leaves(stored, size, from, to),
    add: async ({ origin, size, root, note, createdAt }) => {
      await manager.query(
        `INSERT INTO audit.checkpoints (origin, size, root, note, created_at) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT DO NOTHING`,
        [origin, size, Buffer.from(root, 'base64'), note, createdAt],
      );
    },
  };
}

/** From finished tiles, which hold the hashes of archived records too, and from the records behind them. */
async function leaves(stored: StoredHashes, size: number, from: number, to: number): Promise<Buffer> {
  const finished = Math.floor(size / tile_hashes);
  const end = Math.min(to, finished * tile_hashes);
  const rest = Math.max(from, end);
  const others = rest < to ? await stored.leaves(rest, to) : Buffer.alloc(0);
  if (from >= end) return others;
  const [first, last] = [Math.floor(from / tile_hashes), Math.ceil(end / tile_hashes)];
  const tiles = await stored.tiles(0, first, last);
  // With a tile missing what follows would stand at wrong positions.
  if (tiles.length !== (last - first) * tile_bytes) return Buffer.alloc(0);
  const skipped = from - first * tile_hashes;
  return Buffer.concat([tiles.subarray(skipped * hash_bytes, (skipped + end - from) * hash_bytes), others]);
}

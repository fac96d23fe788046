import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import type { StoredHashes } from '#libs/tlog';
import type { Queryable } from '../database/roles.js';

/** Reads the hashes that the log's tree is made of. What `tileReader` reads from. */
@Injectable()
export class HashRepository implements StoredHashes {
  constructor(private readonly dataSource: DataSource) {}

  async leaves(from: number, to: number): Promise<Buffer> {
    return await storedHashes(this.dataSource).leaves(from, to);
  }

  async tiles(level: number, from: number, to: number): Promise<Buffer> {
    return await storedHashes(this.dataSource).tiles(level, from, to);
  }
}

/** The same within a transaction. */
export function storedHashes(queryable: Queryable): StoredHashes {
  const concatenated = async (sql: string, values: unknown[]): Promise<Buffer> =>
    Buffer.concat((await queryable.query<{ hash: Buffer }[]>(sql, values)).map((row) => row.hash));
  return {
    leaves: async (from, to) =>
      await concatenated(
        'SELECT leaf_hash AS hash FROM audit.events WHERE position >= $1 AND position < $2 ORDER BY position',
        [from, to],
      ),
    tiles: async (level, from, to) =>
      await concatenated(
        'SELECT hashes AS hash FROM audit.tiles WHERE level = $1 AND index >= $2 AND index < $3 ORDER BY index',
        [level, from, to],
      ),
  };
}

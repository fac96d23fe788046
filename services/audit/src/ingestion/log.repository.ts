import { Injectable } from '@nestjs/common';
import { Frontier, TileBuilder, tileReader, type Tile } from '#libs/tlog';
import { DataSource, QueryFailedError, type EntityManager } from 'typeorm';
import { requireRole } from '../database/roles.js';
import { storedHashes } from '../log/hash.repository.js';
import { eventColumns, producerColumns, quarantineColumns, tileColumns } from './columns.js';
import { LogState } from './log.state.js';
import type { Leaf, QuarantinedMessage } from './recorded-event.js';
import type { ReceivedRanges } from './received-ranges.js';

/** One transaction's worth. */
export interface Addition {
  /** At the positions from `before.size` on. */
  readonly leaves: readonly Leaf[];
  readonly tiles: readonly Tile[];
  readonly after: LogState;
  readonly quarantined: readonly QuarantinedMessage[];
  readonly received: readonly ReceivedRanges[];
  /** ISO; when producers are said to have changed. */
  readonly now: string;
}

/** What was new. */
export interface Added {
  /** How many rows. */
  readonly events: number;
  /** Digests, hexadecimal. */
  readonly quarantined: readonly string[];
}

/** What is kept of an event with the id of another one. */
export interface KeptEvent {
  readonly id: string;
  readonly source: string;
  readonly incarnation: string;
  readonly sequence: number;
  readonly subjectId: string | null;
  readonly signature: string | null;
  readonly recordedAt: string;
  readonly leafHash: Buffer;
}

/** Adds to the log; knows no other way to change it. */
@Injectable()
export class LogRepository {
  constructor(private readonly dataSource: DataSource) {}

  /** Throws `UnsafeRole` when the role that it works under could do more than add. */
  async requireWriter(): Promise<void> {
    await requireRole(this.dataSource, 'writer');
  }

  async transaction<T>(work: (manager: EntityManager) => Promise<T>): Promise<T> {
    return await this.dataSource.transaction(work);
  }

  /** Waits for the turn of this process: until the transaction ends nobody else adds to the log. */
  async lockHead(manager: EntityManager): Promise<{ size: number; hashes: Buffer }> {
    const [head] = await manager.query<{ size: string; frontier: Buffer }[]>(
      'SELECT size, frontier FROM audit_work.head FOR UPDATE',
    );
    if (head === undefined) throw new Error('The head of the log is missing.');
    return { size: Number(head.size), hashes: head.frontier };
  }

  /** The state at the head that this transaction has locked. Throws `MissingHashes` when the log has lost some. */
  async load(manager: EntityManager, head: { size: number; hashes: Buffer }): Promise<LogState> {
    const builder = await TileBuilder.restore(head.size, tileReader(head.size, storedHashes(manager)));
    return LogState.of(Frontier.from(head.size, head.hashes), builder);
  }

  /** Makes the head at the first start, and gives it the name under which checkpoints are signed. */
  async ensureHead(origin: string): Promise<void> {
    await this.dataSource.query(
      `INSERT INTO audit_work.head AS head (origin, size, frontier) VALUES ($1, 0, '')
       ON CONFLICT (single) DO UPDATE SET origin = excluded.origin WHERE head.origin <> excluded.origin`,
      [origin],
    );
  }

  /** All that belongs to a commit, in one statement; of rows that are there already none is written. */
  async add(manager: EntityManager, addition: Addition): Promise<Added> {
    const [added] = await manager.query<(Added & { moved: number })[]>(
      `${addSql} SELECT ${addedSql}`,
      valuesOf(addition),
    );
    if (added?.moved !== 1) throw new Error('The head of the log moved under its lock.');
    return { events: added.events, quarantined: added.quarantined };
  }

  /**
   * As `add`, as a transaction of its own that asks the database once. False, and nothing is added, when the head is not
   * where the addition begins, or when some of the events are in the log already.
   */
  async addAtOnce(addition: Addition): Promise<boolean> {
    try {
      const [added] = await this.dataSource.query<{ moved: number }[]>(
        `${addSql} SELECT ${addedSql}, ${allOrNothingSql}`,
        valuesOf(addition),
      );
      return added?.moved === 1;
    } catch (error) {
      if (sqlStateOf(error) === division_by_zero) return false;
      throw error;
    }
  }

  /** The recorded ones of these ids; of ids that say a millisecond between the two times. */
  async find(
    manager: EntityManager,
    ids: readonly string[],
    earliest: string,
    latest: string,
  ): Promise<ReadonlyMap<string, KeptEvent>> {
    const rows = await manager.query<
      (Omit<KeptEvent, 'recordedAt' | 'sequence'> & { recordedAt: Date; sequence: string })[]
    >(
      `SELECT id, source, incarnation, sequence, subject_id AS "subjectId", signature,
              recorded_at AS "recordedAt", leaf_hash AS "leafHash"
         FROM audit.events WHERE id = ANY ($1::uuid[]) AND time BETWEEN $2 AND $3`,
      [ids, earliest, latest],
    );
    return new Map(
      rows.map((row) => [
        row.id,
        { ...row, sequence: Number(row.sequence), recordedAt: row.recordedAt.toISOString() },
      ]),
    );
  }

  /** Makes the partitions of all months from one day to another, unless they are there. */
  async ensurePartitions(first: string, last: string): Promise<void> {
    await this.dataSource.query('SELECT audit.ensure_partitions($1::date, $2::date)', [first, last]);
  }

  async ping(): Promise<void> {
    await this.dataSource.query('SELECT 1');
  }
}

/**
 * The SQLSTATE when the rows are to blame and not the database: classes 22 (data exception) and 23 (integrity constraint
 * violation); null otherwise. Repeating does not help then.
 */
export function faultOfTheData(error: unknown): string | null {
  const state = sqlStateOf(error);
  return state !== null && /^2[23]/.test(state) ? state : null;
}

function sqlStateOf(error: unknown): string | null {
  if (!(error instanceof QueryFailedError)) return null;
  const { code } = error.driverError as { code?: unknown };
  return typeof code === 'string' ? code : null;
}

function valuesOf({ leaves, tiles, after, quarantined, received, now }: Addition): unknown[] {
  const first = after.size - leaves.length;
  return [
    ...[after.size, after.hashes(), first, now],
    ...eventColumns(leaves, first),
    ...tileColumns(tiles),
    ...producerColumns(received),
    ...quarantineColumns(quarantined),
  ];
}

const addSql = `
  WITH moved AS (
    UPDATE audit_work.head SET size = $1, frontier = $2 WHERE size = $3 RETURNING 1
  ), events AS (
    INSERT INTO audit.events (id, position, source, incarnation, sequence, type, entity, entity_id, severity, retention,
                              actor, subject_id, time, traceparent, data, signature, recorded_at, leaf_hash)
    SELECT new.* FROM moved, unnest(
      $5::uuid[], $6::bigint[], $7::text[], $8::uuid[], $9::bigint[], $10::text[], $11::text[], $12::text[], $13::text[],
      $14::text[], $15::text[], $16::uuid[], $17::timestamptz[], $18::text[], $19::json[], $20::text[],
      $21::timestamptz[], $22::bytea[]) AS new
    ON CONFLICT DO NOTHING RETURNING 1
  ), tiles AS (
    INSERT INTO audit.tiles (level, index, hashes)
    SELECT new.* FROM moved, unnest($23::smallint[], $24::bigint[], $25::bytea[]) AS new
  ), producers AS (
    INSERT INTO audit_work.producers AS old (source, incarnation, received, first_seen_at, changed_at)
    SELECT new.*, $4::timestamptz, $4::timestamptz
      FROM moved, unnest($26::text[], $27::uuid[], $28::int8multirange[]) AS new
    ON CONFLICT (source, incarnation) DO UPDATE
      SET received = old.received + excluded.received, changed_at = excluded.changed_at
      WHERE NOT old.received @> excluded.received
  ), quarantined AS (
    INSERT INTO audit.quarantine (digest, stream_seq, subject, headers, body, reason, code, source)
    SELECT new.* FROM moved, unnest(
      $29::bytea[], $30::bigint[], $31::text[], $32::json[], $33::bytea[], $34::text[], $35::text[], $36::text[]) AS new
    ON CONFLICT (digest) DO NOTHING RETURNING digest
  )`;

const addedSql = `
  (SELECT count(*)::integer FROM moved) AS moved, (SELECT count(*)::integer FROM events) AS events,
  (SELECT coalesce(array_agg(encode(digest, 'hex')), '{}') FROM quarantined) AS quarantined`;

/** A statement can take back what it did in no way but by failing; nothing else in this one divides. */
const division_by_zero = '22012';
const allOrNothingSql = `
  1 / (CASE WHEN (SELECT count(*) FROM events) < (SELECT count(*) FROM moved) * ($1::bigint - $3::bigint)
       THEN 0 ELSE 1 END) AS whole`;

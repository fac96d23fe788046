import type { Clock } from '#libs/clock';
import type { Logger } from '#libs/telemetry';
import pg from 'pg';
import { nobody, sessionName, type LeaderRow, type LeaderRowStore, type TakenOver } from './leader-row.js';
import { epochs_skipped, terms_kept } from './term.lineage.js';

export interface LeaderRowOptions {
  readonly connectionString: string;
  /** Longest a call may take. Well below the lease, so that a call that hangs leaves time for another. */
  readonly callMs: number;
  readonly clock: Clock;
  readonly logger: Logger;
}

interface Row {
  term: number;
  holder: string;
  /** A bigint as Postgres gives it. */
  renewal: string;
}

interface TakenRow {
  term: number;
  restored: boolean;
  unrenewed_ms: number;
  lease_ttl_ms: number;
}

const close_ms_max = 1000;

/**
 * The leader's row in Postgres, on a connection for nothing else: no pool, in which a renewal would wait for its turn.
 * A call that fails drops the connection; the next one makes another.
 */
export class LeaderRowRepository implements LeaderRowStore {
  private connection: Promise<pg.Client> | null = null;

  constructor(private readonly options: LeaderRowOptions) {}

  async read(): Promise<LeaderRow> {
    const [row] = await this.query<Row>('SELECT term, holder, renewal FROM scheduler.leadership', []);
    if (row === undefined) throw new Error('The leadership row is missing: restore it from a backup.');
    return { ...row, renewal: Number(row.renewal) };
  }

  /**
   * First ends the sessions of the leader before: it does not renew, so it is dead, stopped or cut off, and a
   * transaction it left open would keep the row, or rows of bots, locked for as long as it is stopped. Then changes the
   * term, which waits for whatever holds the row `FOR KEY SHARE`, at most `callMs`.
   */
  async takeOver(seen: LeaderRow, holder: string, leaseTtlMs: number): Promise<TakenOver | null> {
    if (seen.holder !== nobody) await this.endSessions(seen.holder);
    const [row] = await this.query<TakenRow>(
      `WITH before AS (SELECT restored, renewed_at FROM scheduler.leadership), taken AS (
         UPDATE scheduler.leadership l
         SET term = l.term + 1, holder = $4, renewal = 0, since = clock_timestamp(), renewed_at = clock_timestamp(),
             lease_ttl_ms = greatest(l.lease_ttl_ms, $5)
         FROM before WHERE l.term = $1 AND l.holder = $2 AND l.renewal = $3
         RETURNING l.term, l.holder, l.lease_ttl_ms, before.restored,
           (extract(epoch FROM clock_timestamp() - before.renewed_at) * 1000)::float8 AS unrenewed_ms
       ), begun AS (
         INSERT INTO scheduler.terms (term, holder) SELECT term, holder FROM taken
         ON CONFLICT (term) DO UPDATE SET holder = excluded.holder, placements = 0
       ), forgotten AS (
         DELETE FROM scheduler.terms t USING taken WHERE t.term < taken.term - $6
       )
       SELECT * FROM taken`,
      [seen.term, seen.holder, seen.renewal, holder, leaseTtlMs, terms_kept],
    );
    if (row === undefined) return null;
    return {
      term: row.term,
      unrenewedMs: Math.round(row.unrenewed_ms),
      afterRestore: row.restored,
      leaseTtlMs: row.lease_ttl_ms,
    };
  }

  async renew(term: number, holder: string): Promise<number | null> {
    const [row] = await this.query<Pick<Row, 'renewal'>>(
      `UPDATE scheduler.leadership SET renewal = renewal + 1, renewed_at = clock_timestamp()
       WHERE term = $1 AND holder = $2 RETURNING renewal`,
      [term, holder],
    );
    return row === undefined ? null : Number(row.renewal);
  }

  async restored(term: number, holder: string): Promise<void> {
    await this.query(
      `WITH given_up AS (
         UPDATE scheduler.leadership SET holder = $3, renewal = renewal + 1, restored = true,
           epoch_floor = epoch_floor + $4 WHERE term = $1 AND holder = $2 RETURNING term
       ) UPDATE scheduler.fences SET epoch = epoch + $4 FROM given_up`,
      [term, holder, nobody, epochs_skipped],
    );
  }

  async release(term: number, holder: string): Promise<void> {
    await this.query(
      `UPDATE scheduler.leadership SET holder = $3, renewal = renewal + 1 WHERE term = $1 AND holder = $2`,
      [term, holder, nobody],
    );
  }

  async close(): Promise<void> {
    const { connection } = this;
    this.connection = null;
    if (connection !== null) await this.end(connection);
  }

  private async endSessions(holder: string): Promise<void> {
    const ended = await this.query(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
       WHERE application_name = $1 AND datname = current_database() AND usename = current_user`,
      [sessionName(holder)],
    );
    if (ended.length > 0)
      this.options.logger.warn(
        { holder, sessions: ended.length },
        'the database sessions of the scheduler that led before are ended',
      );
  }

  private async query<T extends pg.QueryResultRow>(text: string, values: unknown[]): Promise<T[]> {
    const connection = (this.connection ??= this.connect());
    try {
      return (await (await connection).query<T>(text, values)).rows;
    } catch (error) {
      if (this.connection === connection) this.connection = null;
      await this.end(connection);
      throw error;
    }
  }

  private async connect(): Promise<pg.Client> {
    const { connectionString, callMs } = this.options;
    const client = new pg.Client({
      connectionString,
      application_name: 'tradefleet-leadership',
      connectionTimeoutMillis: callMs,
      query_timeout: callMs,
      // What was given up on here does not go on there, or not for long.
      statement_timeout: callMs,
      lock_timeout: callMs,
      idle_in_transaction_session_timeout: callMs,
      keepAlive: true,
      // A renewal that is answered is on the disk, whatever the database is set to: a crash must not take it back.
      options: '-c synchronous_commit=on',
    });
    // One that breaks while idle is noticed by the next call.
    client.on('error', (error) => this.options.logger.debug({ err: error }, 'leadership connection broke'));
    await client.connect();
    return client;
  }

  /** Bounded: a server that is stopped answers no goodbye. */
  private async end(connection: Promise<pg.Client>): Promise<void> {
    const late = new AbortController();
    const ended = connection
      .then(async (client) => await client.end())
      .catch((error: unknown) => {
        this.options.logger.debug({ err: error }, 'the leadership connection was gone already');
      });
    const bound = this.options.clock.sleep(close_ms_max, late.signal).catch(() => undefined);
    await Promise.race([ended, bound]);
    late.abort();
  }
}

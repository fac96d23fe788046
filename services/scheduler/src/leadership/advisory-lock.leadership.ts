import { hostname } from 'node:os';
import type { Clock } from '#libs/clock';
import type { Logger } from '#libs/telemetry';
import pg from 'pg';
import type { EntityManager } from 'typeorm';
import type { LeadershipDatabase } from '../runtime.settings.js';
import { LeadershipLost, type Leadership, type Term } from './leadership.js';
import { checkTerm, takeTerm } from './leadership.repository.js';

/** The lock's name; any constant does, as long as nothing else in the database uses it. */
const lock_key = 7_203_185_001;
const connect_timeout_ms = 5000;
const retry_ms = 1000;
/** How often the connection is tried out, and how long an answer may take: a dead peer sends no close. */
const probe_interval_ms = 1000;
const query_timeout_ms = 10_000;

/**
 * Leads while a session-level advisory lock is held on a connection kept for nothing else. A second process waits
 * for the lock as standby. When the connection goes, so may have the lock: the process must end at once. What it may
 * still do until then is fenced by the term, see `guard` and the heartbeat query.
 */
export class AdvisoryLockLeadership implements Leadership {
  private client: pg.Client | null = null;
  private term: Term | null = null;
  private readonly lostCallbacks: ((reason: string) => void)[] = [];
  private probing = new AbortController();

  constructor(
    private readonly database: LeadershipDatabase,
    private readonly clock: Clock,
    private readonly logger: Logger,
    /** Names this process in the row, for people. */
    private readonly holder: string = `${hostname()}/${process.pid}`,
  ) {}

  async lead(signal: AbortSignal): Promise<Term> {
    for (;;) {
      signal.throwIfAborted();
      try {
        return await this.attempt(signal);
      } catch (error) {
        await this.closeClient();
        signal.throwIfAborted();
        this.logger.warn({ err: error }, 'could not wait for leadership, trying again');
        await this.clock.sleep(retry_ms, signal);
      }
    }
  }

  current(): Term | null {
    return this.term;
  }

  async guard(tx: EntityManager): Promise<void> {
    const term = this.term;
    if (term === null) throw new LeadershipLost('This process does not lead.');
    if (!(await checkTerm(tx, term.term, this.holder))) {
      this.lose('another scheduler has taken over');
      throw new LeadershipLost(`Another scheduler has taken over term ${term.term}.`);
    }
  }

  onLost(callback: (reason: string) => void): void {
    this.lostCallbacks.push(callback);
  }

  async resign(): Promise<void> {
    this.term = null;
    this.probing.abort();
    await this.closeClient();
  }

  /** One connection's try: waits for the lock on it, then takes the next term. */
  private async attempt(signal: AbortSignal): Promise<Term> {
    const client = new pg.Client({
      connectionString: this.database.connectionString,
      application_name: 'tradefleet-leadership',
      connectionTimeoutMillis: connect_timeout_ms,
      query_timeout: query_timeout_ms,
      keepAlive: true,
    });
    this.client = client;
    client.on('error', (error) => this.lose(error.message));
    client.on('end', () => this.lose('the connection that holds the lock has ended'));
    // Ends the wait: the server drops a waiting lock request with its connection.
    const abort = (): void => void client.end().catch(() => undefined);
    signal.addEventListener('abort', abort, { once: true });
    try {
      await client.connect();
      await this.lock(client, signal);
      const term = await takeTerm(client, this.holder);
      this.term = { term, sinceMonotonicMs: this.clock.monotonicMs() };
    } finally {
      signal.removeEventListener('abort', abort);
    }
    this.logger.info({ term: this.term.term, holder: this.holder }, 'leading');
    this.probing = new AbortController();
    void this.probe(client, this.probing.signal);
    return this.term;
  }

  private async lock(client: pg.Client, signal: AbortSignal): Promise<void> {
    const { rows } = await client.query<{ locked: boolean }>('SELECT pg_try_advisory_lock($1) AS locked', [
      lock_key,
    ]);
    if (rows[0]?.locked === true) return;
    this.logger.info({ holder: this.holder }, 'standing by: another scheduler leads');
    // Polled rather than waited for in one statement, so that a standby notices a dead connection of its own.
    for (;;) {
      await this.clock.sleep(retry_ms, signal);
      const again = await client.query<{ locked: boolean }>('SELECT pg_try_advisory_lock($1) AS locked', [
        lock_key,
      ]);
      if (again.rows[0]?.locked === true) return;
    }
  }

  private async probe(client: pg.Client, signal: AbortSignal): Promise<void> {
    try {
      for (;;) {
        await this.clock.sleep(probe_interval_ms, signal);
        await client.query('SELECT 1');
      }
    } catch (error) {
      if (signal.aborted) return;
      this.lose(error instanceof Error ? error.message : String(error));
    }
  }

  private lose(reason: string): void {
    if (this.term === null) return;
    this.term = null;
    this.probing.abort();
    for (const callback of this.lostCallbacks.splice(0)) callback(reason);
  }

  private async closeClient(): Promise<void> {
    const client = this.client;
    this.client = null;
    if (client === null) return;
    client.removeAllListeners('end');
    try {
      await client.end();
    } catch (error) {
      this.logger.debug({ err: error }, 'the leadership connection was gone already');
    }
  }
}

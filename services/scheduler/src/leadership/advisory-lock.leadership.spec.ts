import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { SystemClock } from '#libs/clock';
import { createDataSource, inTransaction } from '#libs/persistence';
import { createLogger } from '#libs/telemetry';
import { startPostgres, waitFor, type TestPostgres } from '#libs/testing';
import type { DataSource } from 'typeorm';
import { migratedDatabase } from '../runtime.harness.js';
import { AdvisoryLockLeadership } from './advisory-lock.leadership.js';
import { LeadershipLost } from './leadership.js';

const logger = createLogger({ service: 'scheduler', level: 'silent' });
let postgres: TestPostgres;
let url: string;
let dataSource: DataSource;
let candidates: AdvisoryLockLeadership[];

beforeAll(async () => {
  postgres = await startPostgres();
});
afterAll(async () => {
  await postgres.stop();
});
beforeEach(async () => {
  url = await migratedDatabase(postgres);
  dataSource = await createDataSource({ url, schema: 'scheduler', applicationName: 'test' }).initialize();
  candidates = [];
});
afterEach(async () => {
  for (const candidate of candidates) await candidate.resign();
  await dataSource.destroy();
});

function candidate(name: string): AdvisoryLockLeadership {
  const made = new AdvisoryLockLeadership({ connectionString: url }, new SystemClock(), logger, name);
  candidates.push(made);
  return made;
}
const never = () => new AbortController().signal;
const guarded = async (leader: AdvisoryLockLeadership): Promise<string> =>
  inTransaction(dataSource, async (tx) => {
    await leader.guard(tx);
    return 'committed';
  });
/** Ends the connection that holds the lock, as a failing network or server does. */
const cutLeader = async (): Promise<void> => {
  await dataSource.query(
    `SELECT pg_terminate_backend(l.pid) FROM pg_locks l JOIN pg_stat_activity a USING (pid)
     WHERE l.locktype = 'advisory' AND a.application_name = 'tradefleet-leadership' AND a.datname = current_database()`,
  );
};

describe('AdvisoryLockLeadership', () => {
  it('leads alone, in the next term', async () => {
    const leader = candidate('a');
    expect((await leader.lead(never())).term).toBe(1);
    expect(await guarded(leader)).toBe('committed');
    expect(await dataSource.query('SELECT term, holder FROM scheduler.leadership')).toEqual([
      { term: 1, holder: 'a' },
    ]);
  });

  it('keeps a second one as standby, which takes over in a higher term when the first resigns', async () => {
    const first = candidate('a');
    const second = candidate('b');
    await first.lead(never());
    let taken = false;
    const takingOver = second.lead(never()).then((term) => {
      taken = true;
      return term;
    });
    await waitFor(async () => (await waitingStandbys()) === 1, { what: 'the standby' });
    expect(second.current()).toBeNull();
    expect(taken).toBe(false);
    await first.resign();
    expect((await takingOver).term).toBe(2);
    expect(await guarded(second)).toBe('committed');
    await expect(guarded(first)).rejects.toThrow(LeadershipLost);
  });

  it('says at once that it has lost its connection, and may write no more', async () => {
    const leader = candidate('a');
    await leader.lead(never());
    const reasons: string[] = [];
    leader.onLost((reason) => reasons.push(reason));
    await cutLeader();
    await waitFor(() => reasons.length > 0, { what: 'the loss' });
    expect(reasons).toHaveLength(1);
    expect(leader.current()).toBeNull();
    await expect(guarded(leader)).rejects.toThrow(LeadershipLost);
  });

  it('finds out from the database that another has taken over, before it can write', async () => {
    const deposed = candidate('a');
    await deposed.lead(never());
    const reasons: string[] = [];
    deposed.onLost((reason) => reasons.push(reason));
    await dataSource.query(`UPDATE scheduler.leadership SET term = term + 1, holder = 'b'`);
    await expect(guarded(deposed)).rejects.toThrow(LeadershipLost);
    expect(reasons).toEqual(['another scheduler has taken over']);
  });

  it('lets no one take over while a guarded transaction is open', async () => {
    const first = candidate('a');
    await first.lead(never());
    const second = candidate('b');
    let taken = false;
    const takeOver = async (): Promise<void> => {
      await second.lead(never());
      taken = true;
    };
    const takingOver = await inTransaction(dataSource, async (tx) => {
      await first.guard(tx);
      await cutLeader();
      const pending = takeOver();
      await waitFor(
        async () => {
          const rows = await dataSource.query<unknown[]>(
            `SELECT 1 FROM pg_stat_activity WHERE application_name = 'tradefleet-leadership'
               AND wait_event_type = 'Lock' AND datname = current_database()`,
          );
          return rows.length > 0;
        },
        { what: 'the successor waiting for the transaction' },
      );
      expect(taken).toBe(false);
      return { pending };
    });
    await takingOver.pending;
    expect(second.current()?.term).toBe(2);
  });

  it('gives up waiting when told to', async () => {
    await candidate('a').lead(never());
    const stop = new AbortController();
    const waiting = candidate('b').lead(stop.signal);
    await waitFor(async () => (await waitingStandbys()) === 1, { what: 'the standby' });
    stop.abort();
    await expect(waiting).rejects.toThrow();
  });

  it('waits for a database that is not there yet', async () => {
    const stop = new AbortController();
    const nowhere = new AdvisoryLockLeadership(
      { connectionString: 'postgres://nobody@127.0.0.1:1/nothing' },
      new SystemClock(),
      logger,
    );
    const waiting = nowhere.lead(stop.signal);
    stop.abort();
    await expect(waiting).rejects.toThrow();
    expect(nowhere.current()).toBeNull();
  });
});

/** Connections for leadership that do not hold the lock. */
async function waitingStandbys(): Promise<number> {
  const rows = await dataSource.query<unknown[]>(
    `SELECT 1 FROM pg_stat_activity a WHERE application_name = 'tradefleet-leadership' AND datname = current_database()
       AND NOT EXISTS (SELECT 1 FROM pg_locks l WHERE l.pid = a.pid AND l.locktype = 'advisory' AND l.granted)`,
  );
  return rows.length;
}

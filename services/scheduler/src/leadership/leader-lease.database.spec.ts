import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { createDataSource, inTransaction } from '#libs/persistence';
import { createLogger } from '#libs/telemetry';
import { EmbeddedPostgres, SkippingClock, startPostgres, waitFor, type TestPostgres } from '#libs/testing';
import type { DataSource } from 'typeorm';
import { runMigrations } from '#libs/persistence';
import { migrations, schedulerSchema } from '../database/migrations/index.js';
import { migratedDatabase } from '../runtime.harness.js';
import { LeaderLease } from './leader-lease.js';
import { takeoverWaitMs } from './leader-lease.rule.js';
import { LeaderRowRepository } from './leader-row.repository.js';
import { sessionName, type LeaderRowStore } from './leader-row.js';
import { LeadershipLost } from './leadership.js';

/** A lease that no pause of a busy machine ends; where its end is waited for, the clock is moved on. */
const settings = {
  leaderLeaseMs: 15_000,
  leaderRenewMs: 300,
  leaderTakeoverMarginMs: 200,
  leaseClockDrift: 0.001,
  leaseTtlMs: 15_000,
};
/** Where the database's own clock is asked, too: time has to pass then. */
const brief = { ...settings, leaderLeaseMs: 3000 };
const clock = new SkippingClock();

interface Candidate {
  readonly holder: string;
  readonly lease: LeaderLease;
  readonly lost: string[];
  /** When each renewal that was written was sent, monotonic. */
  readonly renewed_ms: number[];
  /** What it logs, as JSON. */
  readonly lines: string[];
  /** Holds renewals back from now on, as a process does that is stopped. */
  hold(): void;
}

let postgres: TestPostgres;
let url: string;
let dataSource: DataSource;
let candidates: Candidate[];

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
  for (const { lease } of candidates) await lease.resign();
  await dataSource.destroy();
});

function candidate(name: string, connectionString = url, terms = settings): Candidate {
  const holder = `test/1/${name}`;
  const lines: string[] = [];
  const logger = createLogger({
    service: 'scheduler',
    destination: { write: (line: string) => void lines.push(line) },
  });
  const row = new LeaderRowRepository({ connectionString, callMs: 5000, clock, logger });
  const lost: string[] = [];
  const renewed_ms: number[] = [];
  let held = false;
  const store: LeaderRowStore = {
    read: () => row.read(),
    restored: (term, by) => row.restored(term, by),
    takeOver: async (seen, by, leaseTtlMs) => {
      const sent_ms = clock.monotonicMs();
      const taken = await row.takeOver(seen, by, leaseTtlMs);
      if (taken !== null) renewed_ms.push(sent_ms);
      return taken;
    },
    renew: async (term, by) => {
      if (held) return await new Promise<never>(() => undefined);
      const sent_ms = clock.monotonicMs();
      const renewal = await row.renew(term, by);
      if (renewal !== null) renewed_ms.push(sent_ms);
      return renewal;
    },
    release: (term, by) => row.release(term, by),
    close: () => row.close(),
  };
  const lease = new LeaderLease({ row: store, holder, settings: terms, clock, logger });
  lease.onLost((reason) => lost.push(reason));
  const made: Candidate = { holder, lease, lost, renewed_ms, lines, hold: () => (held = true) };
  candidates.push(made);
  return made;
}
/** Lets time pass until it happens. */
async function inTime<T>(work: Promise<T>): Promise<T> {
  let isDone = false;
  const done = () => (isDone = true);
  work.then(done, done);
  await waitFor(async () => {
    if (!isDone) await clock.skip(1000);
    return isDone;
  });
  return await work;
}
const never = () => new AbortController().signal;
const guarded = async (leader: Candidate): Promise<string> =>
  inTransaction(dataSource, async (tx) => {
    await leader.lease.guard(tx);
    return 'committed';
  });
const rowOf = async () =>
  (
    await dataSource.query<{ term: number; holder: string }[]>(
      'SELECT term, holder FROM scheduler.leadership',
    )
  )[0];
/** Of the line that says that it leads. */
const takeoverOf = ({ lines }: Candidate) =>
  lines
    .map(
      (line) => JSON.parse(line) as { msg: string; givenUp: boolean; watchedMs: number; unrenewedMs: number },
    )
    .find(({ msg }) => msg === 'leading');

describe('a leader in the database', () => {
  it('leads alone, in the next term, and goes on for longer than a lease', async () => {
    const leader = candidate('a');
    expect((await leader.lease.lead(never())).term).toBe(1);
    expect(await guarded(leader)).toBe('committed');
    expect(await rowOf()).toEqual({ term: 1, holder: leader.holder });
    for (let passed_ms = 0; passed_ms < settings.leaderLeaseMs * 2; passed_ms += 5000) {
      const before = leader.renewed_ms.length;
      await clock.skip(5000);
      // One may have been under way; the next was sent after the skip.
      await waitFor(() => leader.renewed_ms.length > before + 1, { what: 'renewals' });
    }
    expect(leader.lease.current()?.term).toBe(1);
  });

  it('is not kept from renewing by its own guarded transactions, nor they by its renewals', async () => {
    const leader = candidate('a');
    await leader.lease.lead(never());
    await inTransaction(dataSource, async (tx) => {
      await leader.lease.guard(tx);
      const before = leader.renewed_ms.length;
      await waitFor(() => leader.renewed_ms.length > before + 2, { what: 'renewals meanwhile' });
      await leader.lease.guard(tx);
    });
    expect(leader.lost).toEqual([]);
  });

  it('finds out from the database that another has taken over, before it can write', async () => {
    const deposed = candidate('a');
    await deposed.lease.lead(never());
    await dataSource.query(`UPDATE scheduler.leadership SET term = term + 1, holder = 'b'`);
    await expect(guarded(deposed)).rejects.toThrow(LeadershipLost);
    expect(deposed.lost).toEqual(['another scheduler has taken over']);
    expect(deposed.lease.current()).toBeNull();
  });

  it('whose connection is cut makes another one', async () => {
    const leader = candidate('a');
    await leader.lease.lead(never());
    await dataSource.query(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
       WHERE application_name = 'tradefleet-leadership' AND datname = current_database()`,
    );
    const before = leader.renewed_ms.length;
    await waitFor(() => leader.renewed_ms.length > before + 1, { what: 'a renewal on another connection' });
    expect(leader.lost).toEqual([]);
  });
});

describe('a standby in the database', () => {
  it('takes over at once when the leader resigns, in a higher term', async () => {
    const first = candidate('a');
    const second = candidate('b');
    await first.lease.lead(never());
    const takingOver = second.lease.lead(never());
    await waitFor(() => second.lines.some((line) => line.includes('standing by')), { what: 'the standby' });
    expect(second.lease.current()).toBeNull();
    await first.lease.resign();
    expect((await takingOver).term).toBe(2);
    expect(takeoverOf(second)).toMatchObject({ givenUp: true });
    expect(await guarded(second)).toBe('committed');
    await expect(guarded(first)).rejects.toThrow(LeadershipLost);
  });

  it('takes over from one that was stopped no sooner than the rule allows', async () => {
    const first = candidate('a', url, brief);
    const second = candidate('b', url, brief);
    await first.lease.lead(never());
    const takingOver = second.lease.lead(never());
    await waitFor(() => first.renewed_ms.length > 3, { what: 'some renewals' });
    first.hold();
    const { sinceMonotonicMs } = await takingOver;
    const lastRenewal_ms = first.renewed_ms.at(-1) ?? Infinity;
    expect(sinceMonotonicMs - lastRenewal_ms).toBeGreaterThanOrEqual(takeoverWaitMs(brief));
    expect(takeoverOf(second)?.watchedMs).toBeGreaterThanOrEqual(takeoverWaitMs(brief));
    expect(takeoverOf(second)?.unrenewedMs).toBeGreaterThanOrEqual(brief.leaderLeaseMs);
    // What goes on finds that it leads no more, and writes nothing.
    expect(first.lease.current()).toBeNull();
    await expect(guarded(first)).rejects.toThrow(LeadershipLost);
  });

  it('is not held up by a transaction that one left open which was stopped, and that one commits nothing', async () => {
    const first = candidate('a');
    const second = candidate('b');
    await first.lease.lead(never());
    const own = createDataSource({ url, schema: 'scheduler', applicationName: sessionName(first.holder) });
    await own.initialize();
    const takingOver = second.lease.lead(never());
    await expect(
      inTransaction(own, async (tx) => {
        await first.lease.guard(tx);
        await tx.query(
          `INSERT INTO scheduler.tenants (name, display_name, created_by) VALUES ('a', 'a', 'x')`,
        );
        first.hold();
        expect((await inTime(takingOver)).term).toBe(2);
      }),
    ).rejects.toThrow();
    expect(await dataSource.query('SELECT 1 FROM scheduler.tenants')).toEqual([]);
    await own.destroy();
  });

  it('waits for a transaction that the one who resigned has still to end', async () => {
    const first = candidate('a');
    await first.lease.lead(never());
    const second = candidate('b');
    let taken = false;
    const { pending } = await inTransaction(dataSource, async (tx) => {
      await first.lease.guard(tx);
      await first.lease.resign();
      const taking = second.lease.lead(never()).then(() => (taken = true));
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
      return { pending: taking };
    });
    await pending;
    expect(second.lease.current()?.term).toBe(2);
  });

  it('is one of many, of whom one takes over', async () => {
    const first = candidate('a');
    await first.lease.lead(never());
    const stop = new AbortController();
    const others = ['b', 'c', 'd'].map((name) => candidate(name));
    const leading = others.map(async ({ lease }) => await lease.lead(stop.signal));
    const settled = Promise.allSettled(leading);
    first.hold();
    await inTime(Promise.race(leading));
    expect(others.filter(({ lease }) => lease.current() !== null)).toHaveLength(1);
    expect((await rowOf())?.term).toBe(2);
    stop.abort();
    await settled;
  });

  it('gives up waiting when told to', async () => {
    await candidate('a').lease.lead(never());
    const stop = new AbortController();
    const second = candidate('b');
    const waiting = second.lease.lead(stop.signal);
    await waitFor(() => second.lines.some((line) => line.includes('standing by')), { what: 'the standby' });
    stop.abort();
    await expect(waiting).rejects.toThrow();
  });

  it('waits for a database that is not there yet', async () => {
    const stop = new AbortController();
    const nowhere = candidate('a', 'postgres://nobody@127.0.0.1:1/nothing');
    const waiting = nowhere.lease.lead(stop.signal);
    await waitFor(() => nowhere.lines.some((line) => line.includes('trying again')), { what: 'a try' });
    stop.abort();
    await expect(waiting).rejects.toThrow();
    expect(nowhere.lease.current()).toBeNull();
  });
});

describe('a database that goes away', () => {
  it('ends the lead by the leader itself, and somebody leads when it is back', async () => {
    const own = await EmbeddedPostgres.start();
    try {
      const ownUrl = await own.ensureDatabase('fleet');
      await runMigrations({ url: ownUrl, schema: schedulerSchema, migrations, applicationName: 'test' });
      const first = candidate('a', ownUrl);
      await first.lease.lead(never());
      const second = candidate('b', ownUrl);
      const takingOver = second.lease.lead(never());
      await waitFor(() => first.renewed_ms.length > 2, { what: 'some renewals' });
      await own.kill();
      await waitFor(async () => {
        await clock.skip(1000);
        return first.lost.length > 0;
      });
      expect(first.lost).toEqual(['the lease of the leader was not renewed in time']);
      expect(second.lease.current()).toBeNull();
      await own.restart();
      expect((await inTime(takingOver)).term).toBe(2);
      expect(second.renewed_ms[0]).toBeGreaterThan(
        (first.renewed_ms.at(-1) ?? Infinity) + takeoverWaitMs(settings),
      );
      await second.lease.resign();
    } finally {
      await own.stop();
    }
  }, 180_000);
});

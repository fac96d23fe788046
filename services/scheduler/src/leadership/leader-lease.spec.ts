import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import type { Clock } from '#libs/clock';
import { createLogger } from '#libs/telemetry';
import { VirtualClock } from '#libs/testing';
import { LeaderLease } from './leader-lease.js';
import { takeoverWaitMs } from './leader-lease.rule.js';
import { MemoryLeaderRow } from './leadership.harness.js';

const settings = {
  leaderLeaseMs: 5000,
  leaderRenewMs: 1000,
  leaderTakeoverMarginMs: 500,
  leaseClockDrift: 0.001,
  leaseTtlMs: 15_000,
};
const wait_ms = takeoverWaitMs(settings);
const logger = createLogger({ service: 'scheduler', level: 'silent' });

/** A process of its own: its clocks run a little fast or slow, and it can be stopped as SIGSTOP does. */
class Machine implements Clock {
  private readonly begin: { monotonicMs: number; boottimeMs: number };
  private suspended_ms = 0;
  private stopped: Promise<void> | null = null;
  private go: () => void = () => undefined;

  constructor(
    private readonly time: VirtualClock,
    private readonly rate = 1,
  ) {
    this.begin = { monotonicMs: time.monotonicMs(), boottimeMs: time.boottimeMs() };
  }

  wallMs(): number {
    return this.time.wallMs();
  }
  monotonicMs(): number {
    return (this.time.monotonicMs() - this.begin.monotonicMs) * this.rate - this.suspended_ms;
  }
  /** As the kernel prints it: in steps of 10 ms, rounded down. */
  boottimeMs(): number {
    return Math.floor(((this.time.monotonicMs() - this.begin.monotonicMs) * this.rate) / 10) * 10;
  }
  async sleep(ms: number, signal?: AbortSignal): Promise<void> {
    await this.time.sleep(ms / this.rate, signal);
    await this.stopped;
  }
  /** What was on its way when the process was stopped is taken up when it goes on. */
  async turn(): Promise<void> {
    await this.stopped;
  }
  stop(): void {
    this.stopped ??= new Promise((resolve) => (this.go = resolve));
  }
  resume(): void {
    this.stopped = null;
    this.go();
  }
  /** The machine was asleep for that much of what has passed: CLOCK_MONOTONIC did not count it. */
  wasSuspended(ms: number): void {
    this.suspended_ms += ms;
  }
}

interface Candidate {
  readonly machine: Machine;
  readonly lease: LeaderLease;
  readonly lost: string[];
  /** Milliseconds each way of a call to the database; null: the call fails. */
  trip_ms: number | null;
}

function world(rates: readonly number[] = [1, 1]) {
  const time = new VirtualClock();
  const row = new MemoryLeaderRow();
  const ended = new AbortController();
  const candidates = rates.map((rate, n): Candidate => {
    const machine = new Machine(time, rate);
    const lost: string[] = [];
    const trip = async () => {
      await machine.turn();
      if (candidate.trip_ms === null) throw new Error('cut off');
      if (candidate.trip_ms > 0) await time.sleep(candidate.trip_ms);
      await machine.turn();
    };
    const lease = new LeaderLease({
      row: row.store(trip),
      holder: `s/${n}`,
      settings,
      clock: machine,
      logger,
    });
    lease.onLost((reason) => lost.push(reason));
    const candidate: Candidate = { machine, lease, lost, trip_ms: 0 };
    return candidate;
  });
  /** Aborted at the end of a test: nothing rejects unheard. */
  const lead = (n: number): void => {
    candidates[n]?.lease.lead(ended.signal).catch((error: unknown) => {
      if (!ended.signal.aborted) throw error;
    });
  };
  const leads = (n: number): boolean => candidates[n]?.lease.current() != null;
  return { time, row, candidates, lead, leads, end: () => ended.abort() };
}

/** Two, of whom the first leads. */
async function aLeaderAndAStandby() {
  const made = world();
  made.lead(0);
  await made.time.advance(1);
  made.lead(1);
  await made.time.advance(3000);
  const [first, second] = made.candidates as [Candidate, Candidate];
  expect([made.leads(0), made.leads(1)]).toEqual([true, false]);
  return { ...made, first, second };
}

describe('a leader', () => {
  it('leads as long as it renews', async () => {
    const { time, leads, row, end } = await aLeaderAndAStandby();
    await time.advance(600_000);
    expect([leads(0), leads(1)]).toEqual([true, false]);
    expect(row.row.renewal).toBeGreaterThan(590);
    end();
  });

  it('that does not reach the database has until L after its last renewal was sent, by its own clock alone', async () => {
    const { time, first, leads, end } = await aLeaderAndAStandby();
    first.trip_ms = null;
    // Its last renewal was sent at 3000 at the latest, at 2000 at the earliest.
    await time.advance(settings.leaderLeaseMs - 1100);
    expect(leads(0)).toBe(true);
    await time.advance(1100);
    expect(leads(0)).toBe(false);
    expect(first.lost).toEqual(['the lease of the leader was not renewed in time']);
    end();
  });

  it('counts from the sending of a renewal, not from its answer', async () => {
    const { time, first, leads, end } = await aLeaderAndAStandby();
    first.trip_ms = 1500;
    // Answers come every 4 s, each to a renewal sent 3 s before: good for 2 s more.
    for (let n = 0; n < 100; n += 1) await time.advance(100);
    expect(leads(0)).toBe(false);
    end();
  });

  it('that was stopped knows at the first question that it leads no more', async () => {
    const { time, first, leads, end } = await aLeaderAndAStandby();
    first.machine.stop();
    await time.advance(settings.leaderLeaseMs);
    // Nothing of it has run since.
    expect(first.lost).toEqual([]);
    expect(leads(0)).toBe(false);
    end();
  });

  it('whose machine was asleep knows it by CLOCK_BOOTTIME, which counts that', async () => {
    const { time, first, leads, end } = await aLeaderAndAStandby();
    first.machine.stop();
    await time.advance(60_000);
    first.machine.wasSuspended(60_000);
    expect(leads(0)).toBe(false);
    end();
  });

  it('is not brought back by a renewal that is answered too late', async () => {
    const { time, first, leads, end } = await aLeaderAndAStandby();
    first.trip_ms = 3000;
    await time.advance(12_000);
    first.trip_ms = 0;
    await time.advance(12_000);
    expect(leads(0)).toBe(false);
    expect(first.lost).toHaveLength(1);
    end();
  });

  it('notices that an older state of the database has come back', async () => {
    const { time, row, first, leads, end } = await aLeaderAndAStandby();
    row.row = { ...row.row, renewal: 0 };
    await time.advance(2000);
    expect(leads(0)).toBe(false);
    expect(first.lost).toEqual(['an older state of the database has come back']);
    end();
  });
});

describe('a standby', () => {
  it('takes over when it has seen the row unchanged for L(1+rho) and the margin, and not before', async () => {
    const { time, first, leads, row, end } = await aLeaderAndAStandby();
    first.machine.stop();
    const stopped_ms = time.monotonicMs();
    while (!leads(1)) {
      await time.advance(10);
      expect([leads(0), leads(1)]).not.toEqual([true, true]);
    }
    // The last renewal was seen up to a second before.
    expect(time.monotonicMs() - stopped_ms).toBeGreaterThanOrEqual(wait_ms - settings.leaderRenewMs);
    expect(row.terms).toEqual([
      { term: 1, holder: 's/0' },
      { term: 2, holder: 's/1' },
    ]);
    end();
  });

  it('begins to wait anew with each renewal it sees', async () => {
    const { time, first, leads, end } = await aLeaderAndAStandby();
    for (let n = 0; n < 20; n += 1) {
      first.trip_ms = null;
      await time.advance(3000);
      first.trip_ms = 0;
      await time.advance(1000);
    }
    expect([leads(0), leads(1)]).toEqual([true, false]);
    end();
  });

  it('takes over at its next look when the leader resigns', async () => {
    const { time, first, leads, end } = await aLeaderAndAStandby();
    await first.lease.resign();
    expect(leads(0)).toBe(false);
    await time.advance(250);
    expect(leads(1)).toBe(true);
    expect(first.lost).toEqual([]);
    end();
  });

  it('goes on watching across failures of the database', async () => {
    const { time, first, second, leads, end } = await aLeaderAndAStandby();
    first.machine.stop();
    second.trip_ms = null;
    await time.advance(wait_ms);
    expect(leads(1)).toBe(false);
    second.trip_ms = 0;
    await time.advance(250);
    expect(leads(1)).toBe(true);
    end();
  });

  it('that could not do the work leaves it to others', async () => {
    const time = new VirtualClock();
    const row = new MemoryLeaderRow();
    const ended = new AbortController();
    let able = false;
    const lease = new LeaderLease({
      ...{ row: row.store(), holder: 's/0', settings, clock: time, logger },
      isAble: () => able,
    });
    const leading = lease.lead(ended.signal);
    await time.advance(60_000);
    expect(lease.current()).toBeNull();
    able = true;
    await time.advance(250);
    expect((await leading).term).toBe(1);
    await lease.resign();
    ended.abort();
  });
});

describe('any number of candidates', () => {
  const step = fc.oneof(
    {
      weight: 4,
      arbitrary: fc.record({ kind: fc.constant('advance' as const), ms: fc.integer({ min: 1, max: 7000 }) }),
    },
    {
      weight: 3,
      arbitrary: fc.record({
        kind: fc.constantFrom('stop', 'resume', 'cut', 'heal', 'slow', 'suspend', 'resign'),
        who: fc.nat(2),
      }),
    },
  );
  const rate = fc.double({ min: 0.9995, max: 1.0005, noNaN: true });

  it('never lead at the same time, and somebody leads in the end', async () => {
    const run = fc.tuple(fc.tuple(rate, rate, rate), fc.array(step, { maxLength: 30 }));
    await fc.assert(
      fc.asyncProperty(run, async ([rates, steps]) => {
        const { time, candidates, lead, leads, row, end } = world(rates);
        const gone = new Set<number>();
        const check = (): void => {
          const leading = candidates.map((_, n) => n).filter(leads);
          expect(leading.length).toBeLessThanOrEqual(1);
        };
        candidates.forEach((_, n) => lead(n));
        for (const s of steps) {
          if (s.kind === 'advance') {
            for (let left = s.ms; left > 0; left -= 250) {
              await time.advance(Math.min(250, left));
              check();
            }
            continue;
          }
          const candidate = candidates['who' in s ? s.who : 0];
          if (candidate === undefined) continue;
          if (s.kind === 'stop') candidate.machine.stop();
          if (s.kind === 'resume') candidate.machine.resume();
          if (s.kind === 'cut') candidate.trip_ms = null;
          if (s.kind === 'heal') candidate.trip_ms = 0;
          if (s.kind === 'slow') candidate.trip_ms = 1500;
          if (s.kind === 'suspend') {
            candidate.machine.stop();
            await time.advance(2000);
            candidate.machine.wasSuspended(2000);
            candidate.machine.resume();
          }
          // Not waited for: a stopped process does not come to its end.
          if (s.kind === 'resign' && candidate.lease.current() !== null) void candidate.lease.resign();
          check();
        }
        for (const candidate of candidates) {
          candidate.machine.resume();
          candidate.trip_ms = 0;
        }
        // Whoever has led does not try again: its process would have ended. A fresh one takes its place.
        for (const { term, holder } of row.terms) if (term > 0) gone.add(Number(holder.split('/')[1]));
        if (gone.size < candidates.length) {
          await time.advance(wait_ms + 3000);
          check();
          expect(candidates.some((_, n) => leads(n))).toBe(true);
        }
        expect(row.terms.map(({ term }) => term)).toEqual(row.terms.map((_, n) => n + 1));
        end();
      }),
      { numRuns: 500 },
    );
  }, 120_000);
});

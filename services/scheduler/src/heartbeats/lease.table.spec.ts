import { beforeEach, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { ProblemError } from '#libs/contracts';
import { VirtualClock } from '#libs/testing';
import type { Leadership, Term } from '../leadership/leadership.js';
import { LeadershipLost } from '../leadership/leadership.js';
import { runtimeSettings } from '../runtime.settings.js';
import { leaseSurelyOverMs } from './lease.rule.js';
import { LeaseTable } from './lease.table.js';

const settings = runtimeSettings({ leaseTtlMs: 15_000, leaseClockDrift: 0.001, leaseLockDelayMs: 1000 });
/** 15 s, a thousandth more, and a second. */
const over_ms = 16_015;

let clock: VirtualClock;
let term: Term | null;
let table: LeaseTable;
let sequence: number;

const leadership: Leadership = {
  lead: () => Promise.reject(new Error('not used')),
  current: () => term,
  guard: () => Promise.resolve(),
  onLost: () => undefined,
  lose: () => undefined,
  resign: () => Promise.resolve(),
};
const answer = (host = 'h', incarnation = 'i', allocations: string[] = []): void =>
  table.finish(table.begin(host, incarnation, (sequence += 1)), new Set(allocations), allocations);
const codeOf = (work: () => unknown): string => {
  try {
    work();
  } catch (error) {
    if (error instanceof ProblemError) return error.code;
    throw error;
  }
  return 'none';
};

beforeEach(() => {
  clock = new VirtualClock();
  term = { term: 1, sinceMonotonicMs: clock.monotonicMs() };
  table = new LeaseTable(clock, settings, leadership);
  sequence = 0;
});

describe('when a host is lost', () => {
  it('is when T(1+rho) and the lock delay have passed since the last answer, and not a millisecond earlier', async () => {
    expect(leaseSurelyOverMs(settings)).toBe(over_ms);
    await clock.advance(100_000);
    answer();
    await clock.advance(over_ms - 1);
    expect(table.condemnIfOver('h')).toBe(false);
    await clock.advance(1);
    expect(table.condemnIfOver('h')).toBe(true);
  });

  it('counts from the answer, not from the receipt', async () => {
    await clock.advance(100_000);
    const answering = table.begin('h', 'i', 1);
    await clock.advance(10_000);
    table.finish(answering, new Set(), []);
    await clock.advance(over_ms - 1);
    expect(table.condemnIfOver('h')).toBe(false);
  });

  it('waits as long after taking over, for an earlier leader may just have answered', async () => {
    await clock.advance(500_000);
    term = { term: 2, sinceMonotonicMs: clock.monotonicMs() };
    const fresh = new LeaseTable(clock, settings, leadership);
    await clock.advance(over_ms - 1);
    expect(fresh.condemnIfOver('h')).toBe(false);
    await clock.advance(1);
    expect(fresh.condemnIfOver('h')).toBe(true);
  });

  it('is not told by the wall clock', async () => {
    await clock.advance(100_000);
    answer();
    clock.stepWall(3_600_000);
    expect(table.condemnIfOver('h')).toBe(false);
    clock.stepWall(-7_200_000);
    await clock.advance(over_ms);
    expect(table.condemnIfOver('h')).toBe(true);
  });

  it('is never said without leading', () => {
    term = null;
    expect(() => table.condemnIfOver('h')).toThrow(LeadershipLost);
  });

  it('never comes before the rule allows, whatever the heartbeats', async () => {
    const run = fc.array(fc.record({ wait: fc.nat(20_000), beats: fc.boolean() }), { maxLength: 30 });
    await fc.assert(
      fc.asyncProperty(run, async (steps) => {
        const time = new VirtualClock();
        const leases = new LeaseTable(time, settings, leadership);
        term = { term: 1, sinceMonotonicMs: 0 };
        let answered_ms = 0;
        let beats = 0;
        for (const step of steps) {
          await time.advance(step.wait);
          if (step.beats && codeOf(() => leases.begin('h', 'i', (beats += 1))) === 'none')
            answered_ms = time.monotonicMs();
          if (leases.condemnIfOver('h')) {
            expect(time.monotonicMs() - answered_ms).toBeGreaterThanOrEqual(over_ms);
            return;
          }
          expect(time.monotonicMs() - answered_ms).toBeLessThan(over_ms);
        }
      }),
    );
  });
});

describe('a heartbeat and a condemnation', () => {
  it('exclude each other: what was begun before is not answered after', async () => {
    const answering = table.begin('h', 'i', 1);
    await clock.advance(over_ms);
    expect(table.condemnIfOver('h')).toBe(true);
    expect(codeOf(() => table.finish(answering, new Set(['a']), ['a']))).toBe('unavailable');
    table.absolve('h');
    expect(codeOf(() => table.finish(answering, new Set(['a']), ['a']))).toBe('unavailable');
  });

  it('a condemned host gets no answer until its being down is written', async () => {
    answer();
    await clock.advance(over_ms);
    table.condemnIfOver('h');
    expect(codeOf(() => answer())).toBe('unavailable');
    table.absolve('h');
    expect(codeOf(() => answer())).toBe('none');
  });

  it('one that was overtaken is not answered, and takes no lease back that the later one gave', async () => {
    await clock.advance(100_000);
    const slow = table.begin('h', 'i', 1);
    table.finish(table.begin('h', 'i', 2), new Set(['new']), ['new']);
    expect(codeOf(() => table.finish(slow, new Set(), []))).toBe('unavailable');
    for (let beat = 0; beat <= settings.heartbeatsMissingMax; beat += 1)
      expect(table.countMissing('h', ['new'])).toEqual([]);
    await clock.advance(over_ms);
    expect(table.countMissing('h', ['new'])).toEqual(['new']);
  });

  it('begun in time keeps the host', async () => {
    await clock.advance(over_ms - 1);
    const answering = table.begin('h', 'i', 1);
    await clock.advance(1);
    expect(table.condemnIfOver('h')).toBe(false);
    expect(codeOf(() => table.finish(answering, new Set(), []))).toBe('none');
  });
});

describe('the sequence', () => {
  it('only grows within an incarnation', () => {
    table.begin('h', 'i', 5);
    expect(codeOf(() => table.begin('h', 'i', 5))).toBe('invalid_request');
    expect(codeOf(() => table.begin('h', 'i', 4))).toBe('invalid_request');
    expect(codeOf(() => table.begin('h', 'i', 6))).toBe('none');
  });
  it('begins again with another incarnation', () => {
    table.begin('h', 'i', 5);
    expect(codeOf(() => table.begin('h', 'j', 1))).toBe('none');
  });
  it('that is refused does not count as hearing from the host', async () => {
    table.begin('h', 'i', 5);
    await clock.advance(over_ms);
    expect(codeOf(() => table.begin('h', 'i', 5))).toBe('invalid_request');
    expect(table.condemnIfOver('h')).toBe(true);
  });
});

describe('an allocation the host leaves out', () => {
  const leftOut = async (times: number, each_ms: number): Promise<string[][]> => {
    const seen: string[][] = [];
    for (let i = 0; i < times; i += 1) {
      await clock.advance(each_ms);
      table.begin('h', 'i', (sequence += 1));
      seen.push(table.countMissing('h', ['a']));
    }
    return seen;
  };

  it('is gone after more heartbeats than allowed, when its lease is over besides', async () => {
    await clock.advance(100_000);
    answer('h', 'i', ['a']);
    // Four heartbeats, 12 s: often enough, but the lease may still be believed in.
    expect(await leftOut(4, 3000)).toEqual([[], [], [], []]);
    expect(await leftOut(2, 3000)).toEqual([[], ['a']]);
  });

  it('is not gone by time alone', async () => {
    await clock.advance(100_000);
    answer('h', 'i', ['a']);
    expect(await leftOut(3, 100_000)).toEqual([[], [], []]);
    expect(await leftOut(1, 1)).toEqual([['a']]);
  });

  it('counts anew once it is named, and for another incarnation', async () => {
    await clock.advance(100_000);
    await leftOut(3, 10_000);
    table.countMissing('h', []);
    expect(await leftOut(3, 10_000)).toEqual([[], [], []]);
    table.begin('h', 'j', 1);
    expect(table.countMissing('h', ['a'])).toEqual([]);
  });

  it('waits a lease after taking over, when this leader never renewed it', async () => {
    expect(await leftOut(4, 3000)).toEqual([[], [], [], []]);
    expect(await leftOut(2, 3000)).toEqual([[], ['a']]);
  });
});

describe('registering', () => {
  it('keeps no host that never sends a heartbeat', async () => {
    answer();
    for (let i = 0; i < 16; i += 1) {
      expect(table.condemnIfOver('h')).toBe(false);
      await clock.advance(1000);
      table.registered('h');
    }
    await clock.advance(over_ms - 16_000);
    expect(table.condemnIfOver('h')).toBe(true);
  });
});

describe('being heard lately', () => {
  it('lasts as long as a lease, and begins with taking over', async () => {
    expect(table.isHeard('h')).toBe(true);
    await clock.advance(15_000);
    expect(table.isHeard('h')).toBe(false);
    table.registered('h');
    await clock.advance(14_999);
    expect(table.isHeard('h')).toBe(true);
    await clock.advance(1);
    expect(table.isHeard('h')).toBe(false);
  });
});

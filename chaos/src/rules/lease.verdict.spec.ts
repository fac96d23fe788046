import { describe, expect, it } from '@jest/globals';
import { type LeaseRules, leaseVerdict } from './lease.verdict.js';
import type { Transition } from './transition.log.js';

const rules: LeaseRules = {
  ...{ ttl_ms: 5000, agentDrift: 0.0005, agentMargin_ms: 1500, drift: 0.001, lockDelay_ms: 1000 },
  ...{ leaderLease_ms: 5000, takeoverMargin_ms: 500 },
};
const wall_ms = 1_700_000_000_000;
const boot_ms = 100_000;
const transition = (epoch: number, state: string, after_ms: number): Transition => ({
  ...{ allocation: `allocation-${epoch}`, account: 'acc', host: 'host-a', epoch, state },
  at_ms: wall_ms + after_ms,
});
/** Heard last at `wall_ms`, so the lease ends T(1-ρ)-M later. */
const deadlines = new Map([['allocation-1', boot_ms + 5000 * (1 - 0.0005) - 1500]]);
const verdict = (transitions: Transition[], waited: number[] = []) =>
  leaseVerdict(
    rules,
    transitions,
    deadlines,
    waited.map((waited_ms, term) => ({ term, fromDead: true, waited_ms })),
    boot_ms - wall_ms,
  );

describe('leaseVerdict', () => {
  it('counts from the heartbeat that gave the last lease', () => {
    const { heardToLost, lostToRunning, heardToRunning, broken, lostRule_ms } = verdict([
      transition(1, 'lost', 6100),
      transition(2, 'placed', 6110),
      transition(2, 'running', 8100),
    ]);
    expect(lostRule_ms).toBeCloseTo(6005);
    expect([heardToLost?.max_ms, lostToRunning?.max_ms, heardToRunning?.max_ms]).toEqual([6100, 2000, 8100]);
    expect(broken).toEqual([]);
  });

  it('finds an account that was given away too early', () => {
    expect(verdict([transition(1, 'lost', 5900)]).broken).toEqual([
      'acc (epoch 1, host-a) was given up 5900 ms after its last heartbeat; the rule is 6005 ms',
    ]);
  });

  it('leaves out what never had a lease, and what ended in order', () => {
    const { heardToLost, broken } = verdict([transition(7, 'lost', 10), transition(1, 'stopped', 20)]);
    expect([heardToLost, broken]).toEqual([null, []]);
  });

  it('finds a lead that was taken too early, and knows one that was given back', () => {
    expect(verdict([], [5505, 5506]).broken).toEqual([]);
    expect(verdict([], [5600, 5504]).broken).toEqual([
      'term 1 was taken 5504 ms after the last renewal before; the rule is 5505 ms',
    ]);
    const givenBack = [{ term: 3, fromDead: false, waited_ms: 3 }];
    expect(leaseVerdict(rules, [], deadlines, givenBack, 0)).toMatchObject({ broken: [], takeovers: null });
  });
});

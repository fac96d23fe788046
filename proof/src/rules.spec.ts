import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { startPostgres, type TestPostgres } from '#libs/testing';
import fc from 'fast-check';
import { LeaseKeeper } from '../../services/agent/src/leases/lease-keeper.js';
import { Databases, play } from './play.js';
import { rulesInForce, type Rules } from './rules.js';
import type { Step } from './steps.js';

let postgres: TestPostgres;
let databases: Databases;

beforeAll(async () => {
  postgres = await startPostgres();
  databases = await Databases.of(postgres);
});
afterAll(async () => {
  await databases.close();
  await postgres.stop();
});

const { scheduler } = rulesInForce;
/** Links are those of the two schedulers, then those of the hosts. */
const first_host = 2;
/** It ends with the first that finds them; the database has a pace of its own, so it is not always the same one. */
const runs_max = 60;
const ttl_ms = scheduler.leaseTtlMs ?? 0;

/** Counts a lease from when its answer came, as if nobody had looked at the clock before sending. */
class FromReceipt extends LeaseKeeper {
  override async renew(...[allocation, epoch]: Parameters<LeaseKeeper['renew']>): Promise<void> {
    const { clock } = this as unknown as { clock: { boottimeMs(): number } };
    await super.renew(allocation, epoch, clock.boottimeMs() + ttl_ms - rulesInForce.leaseMarginMs);
  }
}

const long_ago_ms = -1_000_000;
const pass = (ms: number): Step => ({ kind: 'pass', ms });
const which = fc.nat({ max: 1 });

/** A host is lost for longer than its leases. */
const hostLost = which.map((host): Step[] => [
  { kind: 'cut', which: first_host + host, for_ms: 9000 },
  pass(6000),
]);
/** Answers are late, then there are none. */
const lateAnswers = which.map((host): Step[] => [
  {
    ...{ kind: 'spoil', which: first_host + host, for_ms: 4000 },
    quality: { lost: 0, doubled: 0, delay_ms_min: 900, delay_ms_max: 1200 },
  },
  pass(3950),
  { kind: 'cut', which: first_host + host, for_ms: 9000 },
  pass(6000),
]);
const takeovers = which.map((scheduler): Step[] => [
  { kind: 'kill-scheduler', which: scheduler, for_ms: 500 },
  pass(4500),
  { kind: 'kill-scheduler', which: 1 - scheduler, for_ms: 500 },
  pass(4500),
]);
const agentDead = which.map((host): Step[] => [
  { kind: 'kill-agent', which: host, for_ms: 9000 },
  pass(6000),
]);

const taken: readonly (readonly [string, Partial<Rules>, fc.Arbitrary<Step[]>])[] = [
  [
    'the margins of the agent and of the scheduler',
    { leaseMarginMs: 0, scheduler: { ...scheduler, leaseLockDelayMs: 0 } },
    hostLost,
  ],
  ['a bound of how far clocks drift that is true', { drift: 0.25 }, hostLost],
  [
    'the lease that counts from the sending',
    { leaseKeeper: FromReceipt, heartbeatTimeoutMs: 3000 },
    lateAnswers,
  ],
  [
    'the wait of a new leader for the leases of the one before',
    {
      leadership: ({ current }) => ({
        current: () => {
          const term = current();
          return term === null ? null : { ...term, sinceMonotonicMs: long_ago_ms };
        },
      }),
    },
    takeovers,
  ],
  ['the supervisor, while agents die', { supervised: false }, agentDead],
];

describe('two writers are found without', () => {
  it.each(taken)(
    '%s',
    async (_, rules, faults) => {
      const property = fc.asyncProperty(
        fc.nat({ max: 2 ** 31 }),
        fc.array(faults, { minLength: 2, maxLength: 2 }),
        async (seed, steps) => await play(databases, { seed, steps: steps.flat(), rules }),
      );
      const result = await fc.check(property, { seed: 1, numRuns: runs_max, endOnFailure: true });
      expect(String(result.errorInstance)).toMatch(/could act until/);
    },
    300_000,
  );

  it.each([...new Set([hostLost, lateAnswers, takeovers, agentDead])])(
    'nothing, and then there are none %#',
    async (faults) => {
      const [steps = []] = fc.sample(faults, { seed: 1, numRuns: 1 });
      await play(databases, { seed: 1, steps, rules: { heartbeatTimeoutMs: 3000 } });
    },
    300_000,
  );
});

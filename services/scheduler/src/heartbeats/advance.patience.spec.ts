import { describe, expect, it } from '@jest/globals';
import { startNats, startPostgres, VirtualClock } from '#libs/testing';
import { migratedDatabase, RuntimeHarness, seen } from '../runtime.harness.js';
import { AdvancePatience } from './advance.patience.js';
import type { ObservedAdvance } from './heartbeat.comparison.js';
import { SignedHost } from './signed-host.harness.js';

const advance = (id: string, state: ObservedAdvance['state'] = 'running'): ObservedAdvance => ({
  ...{ id, state, stage: null, attempt: 1, lastExit: null, reason: null, detail: null, exitCode: null },
});
const idsOf = (advances: readonly ObservedAdvance[]): string[] => advances.map(({ id }) => id);

describe('patience with advances', () => {
  const patience = () => new AdvancePatience({ advancePatienceMs: 3000 });

  it('takes what a host has been ahead with for long enough, however far it has got meanwhile', () => {
    const of = patience();
    expect(of.ripe('a', [advance('1', 'accepted')], 0)).toEqual([]);
    expect(idsOf(of.ripe('a', [advance('1', 'starting'), advance('2')], 2999))).toEqual([]);
    expect(idsOf(of.ripe('a', [advance('1', 'running'), advance('2')], 3000))).toEqual(['1']);
  });

  it('begins anew when the events have caught up in between', () => {
    const of = patience();
    of.ripe('a', [advance('1', 'accepted')], 0);
    of.ripe('a', [], 1000);
    expect(of.ripe('a', [advance('1')], 3000)).toEqual([]);
    expect(idsOf(of.ripe('a', [advance('1')], 6000))).toEqual(['1']);
  });

  it('takes an end at once', () => {
    expect(idsOf(patience().ripe('a', [advance('1', 'failed'), advance('2')], 0))).toEqual(['1']);
  });

  it('tells hosts apart', () => {
    const of = patience();
    of.ripe('a', [advance('1')], 0);
    expect(of.ripe('b', [advance('1')], 3000)).toEqual([]);
  });

  it('has none when told so', () => {
    expect(idsOf(new AdvancePatience({ advancePatienceMs: 0 }).ripe('a', [advance('1')], 0))).toEqual(['1']);
  });
});

describe('a heartbeat of a host that is ahead of its events', () => {
  it('renews the lease at once, and advances the allocation when no event has for a while', async () => {
    const [nats, postgres] = await Promise.all([startNats(), startPostgres()]);
    const clock = new VirtualClock(Date.now());
    const databaseUrl = await migratedDatabase(postgres);
    const config = { advancePatienceMs: 3000 };
    const runtime = await RuntimeHarness.start({ databaseUrl, nats, clock, config });
    try {
      const host = await SignedHost.create();
      await runtime.register(host);
      const bot = await runtime.bot();
      await runtime.pass();
      const placed = await runtime.allocation(bot.name);
      const beat = async () => await runtime.heartbeat(host, [seen(placed, { state: 'starting' })]);
      expect((await beat()).leases).toEqual([{ allocation: placed.id, epoch: 1 }]);
      expect((await runtime.allocation(bot.name)).state).toBe('placed');
      await clock.advance(3000);
      await beat();
      expect((await runtime.allocation(bot.name)).state).toBe('starting');
    } finally {
      await runtime.stop();
      await nats.stop();
      await postgres.stop();
    }
  });
});

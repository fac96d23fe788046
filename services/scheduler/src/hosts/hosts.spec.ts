import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { TransactionRunner } from '#libs/persistence';
import { ApiFixture } from '../api.fixture.js';
import { ObservationStore } from '../heartbeats/observation.store.js';
import { OperationTracker } from '../operations/operation.tracker.js';

describe('hosts over NATS', () => {
  let fixture: ApiFixture;
  beforeAll(async () => {
    fixture = await ApiFixture.start();
  });
  afterAll(async () => {
    await fixture.stop();
  });
  const drainOf = async (host: string) =>
    (await fixture.ask('operations.list', { limit: 50 })).operations.find(
      (operation) =>
        operation.kind === 'hosts.drain' && operation.targets.some((t) => t.bot.startsWith(host)),
    );

  it('drains: an operation ends when nothing lives there any more', async () => {
    const host = await fixture.aHost();
    const elsewhere = await fixture.aHost();
    const { bot } = await fixture.aBot({ name: host.slice(0, 17) });
    const allocation = await fixture.anAllocation(bot.name, host);
    const drained = await fixture.ask('hosts.drain', {
      name: host,
      reason: 'new kernel',
      expectedGeneration: 1,
    });
    expect(drained).toMatchObject({
      state: 'draining',
      generation: 2,
      reserved: { cpuMillis: 100, memoryMiB: 128, bots: 1 },
      drain: { reason: 'new kernel', by: 'nats:anonymous' },
    });
    const operation = await drainOf(bot.name);
    expect(operation).toMatchObject({ state: 'running', targets: [{ bot: bot.name, goal: 'moved' }] });

    await fixture.sql(`UPDATE scheduler.allocations SET state = 'stopped' WHERE id = $1`, [allocation]);
    await fixture.anAllocation(bot.name, elsewhere, { state: 'placed' });
    await fixture.app
      .get(TransactionRunner, { strict: false })
      .run(
        async (tx) => await fixture.app.get(OperationTracker, { strict: false }).botsChanged(tx, [bot.name]),
      );
    expect(await fixture.ask('operations.get', { id: operation?.id ?? '' })).toMatchObject({
      state: 'succeeded',
    });
    expect((await fixture.ask('hosts.get', { name: host })).reserved.bots).toBe(0);
  });

  it('ends a drain, and with it what was still to be moved', async () => {
    const host = await fixture.aHost();
    const { bot } = await fixture.aBot({ name: host.slice(0, 17) });
    await fixture.anAllocation(bot.name, host);
    await fixture.ask('hosts.drain', { name: host, reason: 'new kernel' });
    const ready = await fixture.ask('hosts.ready', { name: host });
    expect(ready).toMatchObject({ state: 'ready', generation: 3, drain: null });
    const operation = await drainOf(bot.name);
    expect(operation).toMatchObject({ state: 'superseded', targets: [{ reason: 'The drain was ended' }] });
  });

  it('lets the drain of a host that went down end, without calling it ready', async () => {
    const host = await fixture.aHost();
    await fixture.ask('hosts.drain', { name: host, reason: 'new kernel' });
    await fixture.sql(`UPDATE scheduler.hosts SET state = 'down' WHERE name = $1`, [host]);
    expect(await fixture.ask('hosts.ready', { name: host })).toMatchObject({ state: 'down', drain: null });
  });

  it('lists by name in pages, with the newest heartbeat it knows of', async () => {
    const names = await Promise.all([1, 2, 3].map(async () => await fixture.aHost()));
    const [first = ''] = names;
    fixture.app
      .get(ObservationStore, { strict: false })
      .record(first, [], Date.parse('2026-05-01T12:00:00Z'));
    const seen: string[] = [];
    let after: string | undefined;
    do {
      const page = await fixture.ask('hosts.list', { limit: 2, ...(after === undefined ? {} : { after }) });
      seen.push(...page.hosts.map((host) => host.name));
      after = page.next ?? undefined;
    } while (after !== undefined);
    expect(new Set(seen).size).toBe(seen.length);
    expect(seen).toEqual(expect.arrayContaining(names));
    expect((await fixture.ask('hosts.get', { name: first })).lastHeartbeatAt).toBe(
      '2026-05-01T12:00:00.000Z',
    );
  });
});

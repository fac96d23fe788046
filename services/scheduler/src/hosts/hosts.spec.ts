import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { TransactionRunner } from '#libs/persistence';
import { ApiHarness } from '../api.harness.js';
import { ObservationStore } from '../heartbeats/observation.store.js';
import { OperationTracker } from '../operations/operation.tracker.js';

describe('hosts over NATS', () => {
  let harness: ApiHarness;
  beforeAll(async () => {
    harness = await ApiHarness.start();
  });
  afterAll(async () => {
    await harness.stop();
  });
  const drainOf = async (host: string) =>
    (await harness.ask('operations.list', { limit: 50 })).operations.find(
      (operation) =>
        operation.kind === 'hosts.drain' && operation.targets.some((t) => t.bot.startsWith(host)),
    );

  it('drains: an operation ends when nothing lives there any more', async () => {
    const host = await harness.aHost();
    const elsewhere = await harness.aHost();
    const { bot } = await harness.aBot({ name: host.slice(0, 17) });
    const allocation = await harness.anAllocation(bot.name, host);
    const drained = await harness.ask('hosts.drain', {
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

    await harness.sql(`UPDATE scheduler.allocations SET state = 'stopped' WHERE id = $1`, [allocation]);
    await harness.anAllocation(bot.name, elsewhere, { state: 'placed' });
    await harness.app
      .get(TransactionRunner, { strict: false })
      .run(
        async (tx) => await harness.app.get(OperationTracker, { strict: false }).botsChanged(tx, [bot.name]),
      );
    expect(await harness.ask('operations.get', { id: operation?.id ?? '' })).toMatchObject({
      state: 'succeeded',
    });
    expect((await harness.ask('hosts.get', { name: host })).reserved.bots).toBe(0);
  });

  it('ends a drain, and with it what was still to be moved', async () => {
    const host = await harness.aHost();
    const { bot } = await harness.aBot({ name: host.slice(0, 17) });
    await harness.anAllocation(bot.name, host);
    await harness.ask('hosts.drain', { name: host, reason: 'new kernel' });
    const ready = await harness.ask('hosts.ready', { name: host });
    expect(ready).toMatchObject({ state: 'ready', generation: 3, drain: null });
    const operation = await drainOf(bot.name);
    expect(operation).toMatchObject({ state: 'superseded', targets: [{ reason: 'The drain was ended' }] });
  });

  it('lets the drain of a host that went down end, without calling it ready', async () => {
    const host = await harness.aHost();
    await harness.ask('hosts.drain', { name: host, reason: 'new kernel' });
    await harness.sql(`UPDATE scheduler.hosts SET state = 'down' WHERE name = $1`, [host]);
    expect(await harness.ask('hosts.ready', { name: host })).toMatchObject({ state: 'down', drain: null });
  });

  it('lists by name in pages, with the newest heartbeat it knows of', async () => {
    const names = await Promise.all([1, 2, 3].map(async () => await harness.aHost()));
    const [first = ''] = names;
    harness.app
      .get(ObservationStore, { strict: false })
      .record(first, [], Date.parse('2026-05-01T12:00:00Z'));
    const seen: string[] = [];
    let after: string | undefined;
    do {
      const page = await harness.ask('hosts.list', { limit: 2, ...(after === undefined ? {} : { after }) });
      seen.push(...page.hosts.map((host) => host.name));
      after = page.next ?? undefined;
    } while (after !== undefined);
    expect(new Set(seen).size).toBe(seen.length);
    expect(seen).toEqual(expect.arrayContaining(names));
    expect((await harness.ask('hosts.get', { name: first })).lastHeartbeatAt).toBe(
      '2026-05-01T12:00:00.000Z',
    );
  });

  it('gives a host labels over those of its agent, and takes them away again', async () => {
    const name = await harness.aHost();
    await harness.sql(`UPDATE scheduler.hosts SET labels = '{"zone": "a"}' WHERE name = $1`, [name]);
    const labelled = await harness.ask('hosts.label', { name, set: { zone: 'b', rack: '7' } });
    expect(labelled).toMatchObject({
      labels: { zone: 'b', rack: '7' },
      operatorLabels: { zone: 'b', rack: '7' },
      generation: 2,
    });
    // The same again changes nothing.
    expect((await harness.ask('hosts.label', { name, set: { rack: '7' } })).generation).toBe(2);
    const request = { name, unset: ['zone'], set: { disk: 'ssd' }, expectedGeneration: 2 };
    expect((await harness.ask('hosts.label', request)).labels).toEqual({ zone: 'a', rack: '7', disk: 'ssd' });
    expect(await harness.refusal('hosts.label', request)).toMatchObject({ code: 'stale_generation' });
    const events = await harness.sql<{ data: unknown }>(
      `SELECT body::jsonb AS data FROM scheduler.outbox
       WHERE event ->> 'type' = 'tradefleet.host.labelled' AND event ->> 'subjectId' = $1 ORDER BY id`,
      [name],
    );
    expect(events.map(({ data }) => data)).toMatchObject([
      { set: { zone: 'b', rack: '7' }, unset: [] },
      { set: { disk: 'ssd' }, unset: ['zone'] },
    ]);
  });

  it('refuses more labels than placement can show, and those of a host nobody knows', async () => {
    const name = await harness.aHost();
    const labels = (from: number) =>
      Object.fromEntries(Array.from({ length: 20 }, (_, n) => [`label-${from + n}`, 'x']));
    await harness.ask('hosts.label', { name, set: labels(0) });
    expect(await harness.refusal('hosts.label', { name, set: labels(100) })).toMatchObject({
      code: 'invalid_request',
      errors: [{ path: 'set' }],
    });
    expect(await harness.refusal('hosts.label', { name, set: { 'Not A Label': 'x' } })).toMatchObject({
      code: 'invalid_request',
    });
    expect(await harness.refusal('hosts.label', { name: 'nobody', set: { a: 'b' } })).toMatchObject({
      code: 'host_not_found',
    });
  });
});

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { newId } from '#libs/contracts';
import { uniqueName } from '#libs/testing';
import { ApiHarness } from '../api.harness.js';
import { ObservationStore } from '../heartbeats/observation.store.js';
import { ReconcilerSignal } from '../reconciliation/reconciler.signal.js';

describe('bots over NATS', () => {
  let harness: ApiHarness;
  beforeAll(async () => {
    harness = await ApiHarness.start();
  });
  afterAll(async () => {
    await harness.stop();
  });

  it('makes a bot with the defaults of its runtime and wakes the reconciler', async () => {
    const signal = harness.app.get(ReconcilerSignal, { strict: false });
    signal.take();
    const { bot, operation } = await harness.aBot({ resources: { memoryMiB: 256 } });
    expect(bot).toMatchObject({
      resources: { cpuMillis: 100, memoryMiB: 256, pids: 32 },
      policies: { onHostLost: 'reschedule', antiAffinity: 'none' },
      desired: 'running',
      generation: 1,
      status: { phase: 'none', host: null, allocation: null },
    });
    expect(await harness.ask('operations.get', { id: operation })).toMatchObject({
      kind: 'bots.create',
      state: 'running',
      by: 'nats:anonymous',
      progress: { done: 0, failed: 0, total: 1 },
      targets: [{ bot: bot.name, generation: 1, goal: 'running', state: 'running', reason: null }],
    });
    expect(signal.take()).toContain('bots.create');
  });

  it('updates what is named and leaves the rest', async () => {
    const { bot } = await harness.aBot({
      parameters: { lots: 0.1, symbol: 'EURUSD' },
      policies: { stopGraceMs: 1000, antiAffinity: 'require' },
    });
    const updated = await harness.ask('bots.update', {
      name: bot.name,
      expectedGeneration: 1,
      parameters: { lots: 0.2 },
      resources: { pids: 64 },
      policies: { stopGraceMs: 2000 },
    });
    expect(updated.bot).toMatchObject({
      generation: 2,
      parameters: { lots: 0.2 },
      resources: { ...bot.resources, pids: 64 },
      policies: { ...bot.policies, stopGraceMs: 2000 },
    });
    expect(updated.bot.parameters).toEqual({ lots: 0.2 });
  });

  it('runs a bot in a version, and in the default of its host again when that is asked for', async () => {
    const { bot } = await harness.aBot({ version: 'v2' });
    expect(bot.version).toBe('v2');
    const { bot: other } = await harness.ask('bots.update', { name: bot.name, parameters: { lots: 1 } });
    expect(other).toMatchObject({ version: 'v2', generation: 2 });
    const { bot: back } = await harness.ask('bots.update', { name: bot.name, version: null });
    expect(back).toMatchObject({ version: null, generation: 3 });
    const request = { name: bot.name, version: 'not/a/version' };
    expect((await harness.refusal('bots.update', request)).code).toBe('invalid_request');
  });

  it('does not count an update that changes nothing', async () => {
    const { bot } = await harness.aBot({ parameters: { lots: 0.1 }, desired: 'stopped' });
    const { bot: same, operation } = await harness.ask('bots.update', {
      name: bot.name,
      parameters: { lots: 0.1 },
      policies: {},
    });
    expect(same).toEqual(bot);
    expect((await harness.ask('operations.get', { id: operation })).state).toBe('succeeded');
    const events = await harness.sql(
      `SELECT FROM scheduler.outbox WHERE event ->> 'subjectId' = $1 AND event ->> 'type' = 'tradefleet.bot.updated'`,
      [bot.name],
    );
    expect(events).toHaveLength(0);
  });

  it('lets one of many updates with the same expected generation through', async () => {
    const { bot } = await harness.aBot();
    const answers = await Promise.allSettled(
      Array.from(
        { length: 10 },
        async (_, n) =>
          await harness.ask('bots.update', { name: bot.name, expectedGeneration: 1, parameters: { n } }),
      ),
    );
    expect(answers.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    expect((await harness.ask('bots.get', { name: bot.name })).generation).toBe(2);
  });

  it('does not replace a bot that runs when it is asked to run, and tries a failed one again', async () => {
    const host = await harness.aHost();
    const { bot } = await harness.aBot();
    await harness.anAllocation(bot.name, host);
    const running = await harness.ask('bots.start', { name: bot.name });
    expect(running.bot.generation).toBe(1);
    expect((await harness.ask('operations.get', { id: running.operation })).state).toBe('succeeded');

    await harness.sql(
      `UPDATE scheduler.bots SET failures = 4, retry_at = now() + interval '1 hour' WHERE name = $1`,
      [bot.name],
    );
    await harness.ask('bots.start', { name: bot.name });
    const rows = await harness.sql('SELECT failures, retry_at FROM scheduler.bots WHERE name = $1', [
      bot.name,
    ]);
    expect(rows).toEqual([{ failures: 0, retry_at: null }]);
  });

  it('keeps a deleted bot until nothing of it lives, and refuses all but deleting it', async () => {
    const { bot } = await harness.aBot();
    const { bot: deleted } = await harness.ask('bots.delete', { name: bot.name, reason: 'no longer wanted' });
    expect(deleted).toMatchObject({ desired: 'deleted', generation: 2 });
    expect((await harness.ask('bots.delete', { name: bot.name })).bot.generation).toBe(2);
    for (const name of ['bots.start', 'bots.stop', 'bots.update'] as const) {
      const problem = await harness.refusal(name, { name: bot.name });
      expect(problem).toMatchObject({
        code: 'bot_not_found',
        detail: expect.stringContaining('is being deleted'),
      });
    }
    expect(
      await harness.refusal('bots.create', { name: bot.name, account: bot.account, runtime: 'paper' }),
    ).toMatchObject({ code: 'bot_exists', detail: expect.stringContaining('Wait until it is gone') });
  });

  it('refuses to make a bot that should run on a locked account, not one that should not', async () => {
    const account = await harness.anAccount();
    await harness.ask('accounts.lock', { name: account, reason: 'margin call' });
    const request = { name: uniqueName('bot'), account, runtime: 'paper' as const };
    const before = await harness.everything();
    expect((await harness.refusal('bots.create', request)).code).toBe('account_locked');
    expect(await harness.everything()).toEqual(before);
    expect((await harness.ask('bots.create', { ...request, desired: 'stopped' })).bot.desired).toBe(
      'stopped',
    );
  });

  it('tells where a bot runs, what was heard of it, why it waits and how it ended', async () => {
    const host = await harness.aHost();
    const { bot } = await harness.aBot();
    const read = async () => (await harness.ask('bots.get', { name: bot.name })).status;

    await harness.sql(`UPDATE scheduler.bots SET queued_reason = 'no host has room' WHERE name = $1`, [
      bot.name,
    ]);
    expect(await read()).toMatchObject({
      phase: 'queued',
      reason: 'no host has room (0 of 1 go before it)',
      allocation: null,
    });

    const failed = await harness.anAllocation(bot.name, host, { state: 'failed', reason: 'login-refused' });
    await harness.sql(`UPDATE scheduler.bots SET queued_reason = NULL WHERE name = $1`, [bot.name]);
    await harness.sql(`UPDATE scheduler.allocations SET detail = 'wrong password' WHERE id = $1`, [failed]);
    expect(await read()).toMatchObject({
      phase: 'failed',
      reason: 'login-refused: wrong password',
      host: null,
      allocation: { id: failed, epoch: 1 },
    });

    const id = await harness.anAllocation(bot.name, host);
    const observation = {
      stage: 'trade-allowed' as const,
      equity: 10_050.5,
      balance: 10_000,
      currency: 'USD',
      positions: 1,
      ordersToday: 3,
      controlSequence: 0,
      observedAt: new Date().toISOString(),
    };
    harness.app.get(ObservationStore, { strict: false }).record(
      host,
      [
        {
          id,
          account: bot.account,
          epoch: 2,
          state: 'running',
          reason: null,
          detail: null,
          exitCode: null,
          attempt: 1,
          lastExit: null,
          observation,
        },
      ],
      Date.now(),
    );
    expect(await read()).toMatchObject({
      phase: 'running',
      reason: null,
      host,
      allocation: { id, epoch: 2 },
      observation,
    });
  });

  it('does not take the allocations of an earlier bot of the same name for its own', async () => {
    const host = await harness.aHost();
    const { bot } = await harness.aBot();
    await harness.anAllocation(bot.name, host, { state: 'stopped', reason: 'asked' });
    await harness.sql('DELETE FROM scheduler.bots WHERE name = $1', [bot.name]);
    const { bot: anew } = await harness.aBot({ name: bot.name, account: bot.account });
    expect(anew.status).toMatchObject({ phase: 'none', allocation: null });
  });

  it('lists by tenant and by host, in pages, each bot once', async () => {
    const [tenant, host] = [await harness.aTenant(), await harness.aHost()];
    const names: string[] = [];
    for (let n = 0; n < 5; n += 1) {
      names.push((await harness.aBot({ account: await harness.anAccount(tenant) })).bot.name);
    }
    const here = names.slice(0, 3);
    for (const name of here) await harness.anAllocation(name, host);
    const gone = names[4] ?? '';
    await harness.anAllocation(gone, host, { state: 'stopped', reason: 'asked' });

    const seen: string[] = [];
    let after: string | undefined;
    do {
      const page = await harness.ask('bots.list', {
        tenant,
        limit: 2,
        ...(after === undefined ? {} : { after }),
      });
      seen.push(...page.bots.map((bot) => bot.name));
      after = page.next ?? undefined;
    } while (after !== undefined);
    expect(seen).toEqual([...names].sort());
    const onHost = await harness.ask('bots.list', { host });
    expect(onHost.bots.map((bot) => bot.name)).toEqual([...here].sort());
    expect((await harness.ask('hosts.get', { name: host })).reserved).toEqual({
      cpuMillis: 300,
      memoryMiB: 384,
      bots: 3,
    });
  });

  it('cuts a page that would be too large for one message', async () => {
    const tenant = await harness.aTenant();
    const parameters = Object.fromEntries(Array.from({ length: 100 }, (_, n) => [`p${n}`, 'x'.repeat(1000)]));
    for (let n = 0; n < 8; n += 1)
      await harness.aBot({ account: await harness.anAccount(tenant), parameters });
    const page = await harness.ask('bots.list', { tenant });
    expect(page.bots.length).toBeGreaterThan(1);
    expect(page.bots.length).toBeLessThan(8);
    expect(page.next).toBe(page.bots.at(-1)?.name);
    const rest = await harness.ask('bots.list', { tenant, after: page.next ?? newId() });
    expect(page.bots.length + rest.bots.length).toBe(8);
  });

  it('says of a bot that waits for room how many do before it', async () => {
    const tenant = await harness.aTenant();
    const bots = await Promise.all(
      [20, 70].map(async (priority) => {
        const account = await harness.anAccount(tenant);
        return (await harness.aBot({ account, policies: { priority } })).bot.name;
      }),
    );
    const [low = '', high = ''] = bots;
    await harness.sql(
      `UPDATE scheduler.bots SET queued_reason = 'There is no host.', queued_at = now() WHERE name = ANY ($1)`,
      [bots],
    );
    const reasonOf = async (name: string) => (await harness.ask('bots.get', { name })).status;
    expect(await reasonOf(high)).toMatchObject({
      phase: 'queued',
      reason: 'There is no host. (0 of 2 go before it)',
    });
    expect(await reasonOf(low)).toMatchObject({
      reason: 'There is no host. (1 of 2 go before it)',
    });
  });
});

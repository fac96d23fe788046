import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { newId, type Operation } from '#libs/contracts';
import { TransactionRunner } from '#libs/persistence';
import { uniqueName, waitFor } from '#libs/testing';
import { ApiHarness } from '../api.harness.js';
import { OperationTracker } from './operation.tracker.js';
import { OperationWaiters } from './operation.waiters.js';

describe('operations', () => {
  let harness: ApiHarness;
  let host: string;
  beforeAll(async () => {
    harness = await ApiHarness.start();
    host = await harness.aHost();
  });
  afterAll(async () => {
    await harness.stop();
  });

  const changed = async (...bots: string[]) => {
    const tracker = harness.app.get(OperationTracker, { strict: false });
    await harness.app
      .get(TransactionRunner, { strict: false })
      .run(async (tx) => await tracker.botsChanged(tx, bots));
  };
  const read = async (id: string): Promise<Operation> => await harness.ask('operations.get', { id });
  const setState = async (allocation: string, state: string, reason: string | null = null) =>
    await harness.sql('UPDATE scheduler.allocations SET state = $2, reason = $3 WHERE id = $1', [
      allocation,
      state,
      reason,
    ]);
  const eventsOf = async (id: string) =>
    (
      await harness.sql<{ type: string; state: string }>(
        `SELECT event ->> 'type' AS type, body::jsonb ->> 'state' AS state FROM scheduler.outbox
         WHERE event ->> 'subjectId' = $1 ORDER BY id`,
        [id],
      )
    ).map(({ type, state }) => `${type} ${state}`);

  describe('to run a bot', () => {
    it('succeeds when an allocation of its generation runs, not of an earlier one', async () => {
      const { bot } = await harness.aBot();
      const old = await harness.anAllocation(bot.name, host);
      const { operation } = await harness.ask('bots.update', { name: bot.name, parameters: { lots: 1 } });
      await changed(bot.name);
      expect((await read(operation)).state).toBe('running');
      await setState(old, 'stopped', 'asked');
      const fresh = await harness.anAllocation(bot.name, host, { state: 'starting' });
      await changed(bot.name);
      expect((await read(operation)).state).toBe('running');
      await setState(fresh, 'running');
      await changed(bot.name);
      expect(await read(operation)).toMatchObject({
        state: 'succeeded',
        progress: { done: 1, failed: 0, total: 1 },
      });
      expect(await eventsOf(operation)).toEqual([
        'tradefleet.operation.accepted running',
        'tradefleet.operation.ended succeeded',
      ]);
    });

    it('says why it waits, and fails at the third failure in a row', async () => {
      const { bot, operation } = await harness.aBot();
      const target = async () => (await read(operation)).targets[0];
      await harness.sql(`UPDATE scheduler.bots SET queued_reason = 'no host has room' WHERE name = $1`, [
        bot.name,
      ]);
      await changed(bot.name);
      expect(await target()).toMatchObject({ state: 'running', reason: 'no host has room' });
      await harness.sql(`UPDATE scheduler.bots SET queued_reason = NULL WHERE name = $1`, [bot.name]);
      for (const failures of [1, 2, 3]) {
        await harness.anAllocation(bot.name, host, { state: 'failed', reason: 'login-refused' });
        await harness.sql('UPDATE scheduler.bots SET failures = $2 WHERE name = $1', [bot.name, failures]);
        await changed(bot.name);
        expect(await target()).toMatchObject({
          state: failures < 3 ? 'running' : 'failed',
          reason: 'login-refused',
        });
      }
      expect(await read(operation)).toMatchObject({
        state: 'failed',
        progress: { done: 1, failed: 1, total: 1 },
      });
    });

    it('fails when its bot is given up; one that starts or changes it afterwards does not', async () => {
      const { bot, operation } = await harness.aBot();
      const giveUp = async () => {
        const ended = { state: 'failed', reason: 'exited' } as const;
        await harness.anAllocation(bot.name, host, ended);
        await harness.sql('UPDATE scheduler.bots SET failures = 1, gave_up_at = now() WHERE name = $1', [
          bot.name,
        ]);
        await changed(bot.name);
      };
      await giveUp();
      expect(await read(operation)).toMatchObject({
        state: 'failed',
        targets: [{ state: 'failed', reason: 'exited' }],
      });
      expect((await harness.ask('bots.get', { name: bot.name })).status).toMatchObject({
        ...{ phase: 'failed', failures: 1, gaveUpAt: expect.any(String) },
        reason: 'given up after 1 failure; exited',
      });
      const started = await harness.ask('bots.start', { name: bot.name });
      expect((await read(started.operation)).state).toBe('running');
      await giveUp();
      const updated = await harness.ask('bots.update', { name: bot.name, parameters: { lots: 2 } });
      expect((await read(updated.operation)).state).toBe('running');
      expect(updated.bot.status.gaveUpAt).toBeNull();
    });

    it('is superseded by a stop, which then succeeds', async () => {
      const { bot, operation } = await harness.aBot();
      const allocation = await harness.anAllocation(bot.name, host, { state: 'starting' });
      const stop = await harness.ask('bots.stop', { name: bot.name });
      expect(await read(operation)).toMatchObject({
        state: 'superseded',
        targets: [{ reason: 'A later change wants it stopped' }],
      });
      expect((await read(stop.operation)).state).toBe('running');
      await setState(allocation, 'stopped', 'asked');
      await changed(bot.name);
      expect((await read(stop.operation)).state).toBe('succeeded');
    });

    it('goes on, as it is, through a second update', async () => {
      const { bot, operation } = await harness.aBot();
      const second = await harness.ask('bots.update', { name: bot.name, parameters: { lots: 1 } });
      expect((await read(operation)).state).toBe('running');
      await harness.anAllocation(bot.name, host);
      await changed(bot.name);
      expect((await read(operation)).state).toBe('succeeded');
      expect((await read(second.operation)).state).toBe('succeeded');
    });
  });

  it('ends although its bot began to run in the very moment it was asked for', async () => {
    const { bot } = await harness.aBot();
    const allocation = await harness.anAllocation(bot.name, host, { state: 'starting' });
    const tracker = harness.app.get(OperationTracker, { strict: false });
    let commit = () => {};
    const committing = new Promise<void>((resolve) => (commit = resolve));
    let isMoved = false;
    const moving = harness.app.get(TransactionRunner, { strict: false }).run(async (tx) => {
      await tx.query(`UPDATE scheduler.allocations SET state = 'running' WHERE id = $1`, [allocation]);
      await tracker.botsChanged(tx, [bot.name]);
      isMoved = true;
      await committing;
    });
    await waitFor(() => isMoved);
    let isAnswered = false;
    const asking = harness.ask('bots.start', { name: bot.name }).finally(() => (isAnswered = true));
    const waitsForALock = async () =>
      (
        await harness.sql(
          `SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`,
        )
      ).length > 0;
    await waitFor(async () => isAnswered || (await waitsForALock()));
    commit();
    await moving;
    const { operation } = await asking;
    expect((await read(operation)).state).toBe('succeeded');
  });

  it('to stop a bot is superseded by a start, and ends at once when nothing of it lives', async () => {
    const { bot } = await harness.aBot();
    await harness.anAllocation(bot.name, host);
    const { operation } = await harness.ask('bots.stop', { name: bot.name });
    await harness.ask('bots.start', { name: bot.name });
    expect((await read(operation)).state).toBe('superseded');

    const { bot: idle } = await harness.aBot({ desired: 'stopped' });
    const stop = await harness.ask('bots.stop', { name: idle.name });
    expect((await read(stop.operation)).state).toBe('succeeded');
    expect(stop.bot.generation).toBe(1);
  });

  it('to delete a bot ends when the bot is gone and nothing of it lives', async () => {
    const { bot } = await harness.aBot();
    const allocation = await harness.anAllocation(bot.name, host);
    const { operation } = await harness.ask('bots.delete', { name: bot.name });
    await setState(allocation, 'stopped', 'asked');
    await changed(bot.name);
    expect((await read(operation)).state).toBe('running');
    await harness.sql('DELETE FROM scheduler.bots WHERE name = $1', [bot.name]);
    await changed(bot.name);
    expect((await read(operation)).state).toBe('succeeded');
  });

  describe('with many targets', () => {
    /** An operation over bots that should run, as fleet.apply makes it. */
    const over = async (count: number) => {
      const tenant = await harness.aTenant();
      const prefix = uniqueName('m').slice(0, 10);
      await harness.sql(
        `INSERT INTO scheduler.accounts (name, tenant, server, login, created_by)
         SELECT $1 || '-a' || n, $2, $1, n, 'user:test' FROM generate_series(1, $3::int) AS n`,
        [prefix, tenant, count],
      );
      await harness.sql(
        `INSERT INTO scheduler.bots (name, tenant, account, runtime, parameters, resources, constraints, policies, desired,
           created_by, changed_by)
         SELECT $1 || '-b' || n, $2, $1 || '-a' || n, 'paper', '{}', '{"cpuMillis":1,"memoryMiB":1}', '[]', '{}', 'running',
           'user:test', 'user:test' FROM generate_series(1, $3::int) AS n`,
        [prefix, tenant, count],
      );
      const bots = Array.from({ length: count }, (_, n) => `${prefix}-b${n + 1}`);
      const tracker = harness.app.get(OperationTracker, { strict: false });
      const id = await harness.app.get(TransactionRunner, { strict: false }).run(
        async (tx) =>
          await tracker.begin(
            tx,
            { actor: 'user:test', traceparent: `00-${'1'.repeat(32)}-${'2'.repeat(16)}-01` },
            'fleet.apply',
            bots.map((bot) => ({ bot, generation: 1, goal: 'running' })),
          ),
      );
      return { id, bots };
    };

    it('touches the targets of the changed bot alone', async () => {
      const { id, bots } = await over(1000);
      const [first = ''] = bots;
      const others = async () =>
        await harness.sql(
          'SELECT bot, xmin FROM scheduler.operation_targets WHERE operation = $1 AND bot <> $2 ORDER BY bot',
          [id, first],
        );
      const before = await others();
      await harness.anAllocation(first, host);
      await changed(first);
      expect((await read(id)).progress).toEqual({ done: 1, failed: 0, total: 1000 });
      expect(await others()).toEqual(before);
    });

    it('counts right when its bots change at once from many sides, some of them twice', async () => {
      const { id, bots } = await over(60);
      await Promise.all(bots.map(async (bot) => await harness.anAllocation(bot, host)));
      const thirds = [bots.slice(0, 40), bots.slice(20, 60), [...bots].reverse()];
      await Promise.all([
        ...thirds.map(async (some) => await changed(...some)),
        ...bots.map(async (bot) => await changed(bot)),
      ]);
      expect(await read(id)).toMatchObject({
        state: 'succeeded',
        progress: { done: 60, failed: 0, total: 60 },
      });
      const ended = (await eventsOf(id)).filter((event) => event.startsWith('tradefleet.operation.ended'));
      expect(ended).toEqual(['tradefleet.operation.ended succeeded']);
    });

    it('shows those that are not yet done first', async () => {
      const { id, bots } = await over(5);
      const [a = '', b = ''] = bots;
      await harness.anAllocation(a, host);
      await harness.anAllocation(b, host, { state: 'failed', reason: 'exited' });
      await harness.sql('UPDATE scheduler.bots SET failures = 3 WHERE name = $1', [b]);
      await changed(a, b);
      expect((await read(id)).targets.map(({ state }) => state)).toEqual([
        'running',
        'running',
        'running',
        'failed',
        'succeeded',
      ]);
    });
  });

  describe('wait', () => {
    const waiters = () => harness.app.get(OperationWaiters, { strict: false }).ids();

    it('answers when the operation ends in this process', async () => {
      const { bot, operation } = await harness.aBot();
      const waiting = harness.ask('operations.wait', { id: operation, timeoutMs: 30_000 });
      await waitFor(() => waiters().includes(operation));
      await harness.anAllocation(bot.name, host);
      await changed(bot.name);
      expect((await waiting).state).toBe('succeeded');
      expect(waiters()).not.toContain(operation);
    });

    it('answers when the operation ends behind its back, in another scheduler', async () => {
      const { operation } = await harness.aBot();
      const waiting = harness.ask('operations.wait', { id: operation, timeoutMs: 30_000 });
      await waitFor(() => waiters().includes(operation));
      await harness.sql(`UPDATE scheduler.operations SET state = 'failed' WHERE id = $1`, [operation]);
      expect((await waiting).state).toBe('failed');
    });

    it('does not wake anybody for a transaction that rolls back', async () => {
      const { bot, operation } = await harness.aBot();
      await harness.anAllocation(bot.name, host);
      const tracker = harness.app.get(OperationTracker, { strict: false });
      const run = harness.app.get(TransactionRunner, { strict: false }).run(async (tx) => {
        await tracker.botsChanged(tx, [bot.name]);
        throw new Error('changed its mind');
      });
      await expect(run).rejects.toThrow('changed its mind');
      expect((await read(operation)).state).toBe('running');
      expect(await eventsOf(operation)).toEqual(['tradefleet.operation.accepted running']);
    });

    it('gives the operation as it is when the time is up, and at once when it has ended', async () => {
      const { operation } = await harness.aBot();
      const asItIs = await harness.ask('operations.wait', { id: operation, timeoutMs: 20 });
      expect(asItIs.state).toBe('running');
      expect(waiters()).not.toContain(operation);
      const { operation: done } = await harness.aBot({ desired: 'stopped' });
      expect((await harness.ask('operations.wait', { id: done })).state).toBe('succeeded');
    });

    it('refuses an operation nobody has and leaves nobody waiting', async () => {
      const id = newId();
      expect((await harness.refusal('operations.wait', { id })).code).toBe('operation_not_found');
      expect(waiters()).not.toContain(id);
    });
  });

  it('are listed newest first, by state, in pages', async () => {
    const made: string[] = [];
    for (let n = 0; n < 5; n += 1) made.push((await harness.aBot({ desired: 'stopped' })).operation);
    const seen: string[] = [];
    let after: string | undefined;
    while (!made.every((id) => seen.includes(id))) {
      const page = await harness.ask('operations.list', {
        state: 'succeeded',
        limit: 2,
        ...(after === undefined ? {} : { after }),
      });
      expect(page.operations.every(({ state }) => state === 'succeeded')).toBe(true);
      seen.push(...page.operations.map(({ id }) => id));
      if (page.next === null) break;
      after = page.next;
    }
    expect(seen).toEqual([...new Set(seen)].sort().reverse());
    expect(seen).toEqual(expect.arrayContaining(made));
  });
});

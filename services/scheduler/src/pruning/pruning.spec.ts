import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { newId } from '#libs/contracts';
import { startNats, startPostgres, VirtualClock, type TestNats, type TestPostgres } from '#libs/testing';
import { migratedDatabase, RuntimeHarness } from '../runtime.harness.js';
import { PruningReconciler } from './pruning.reconciler.js';

const day_ms = 86_400_000;

describe('pruning', () => {
  let nats: TestNats;
  let postgres: TestPostgres;
  let clock: VirtualClock;
  let runtime: RuntimeHarness;
  beforeAll(async () => {
    [nats, postgres] = await Promise.all([startNats(), startPostgres()]);
  });
  afterAll(async () => {
    await nats.stop();
    await postgres.stop();
  });
  beforeEach(async () => {
    clock = new VirtualClock(Date.now());
    runtime = await RuntimeHarness.start({
      databaseUrl: await migratedDatabase(postgres),
      nats,
      clock,
      config: { allocationsKeptDays: 10, allocationsKeptPerAccount: 3, operationsKeptDays: 20 },
    });
  });
  afterEach(async () => {
    await runtime.stop();
  });

  const prune = async (): Promise<void> => {
    expect(await runtime.app.get(PruningReconciler).reconcile()).toBe(false);
  };
  const daysAgo = (days: number): Date => new Date(clock.wallMs() - days * day_ms);
  /** Allocations under the epochs 1 to `ages.length`, the first the oldest; null for one that lives. */
  const allocations = async (
    bot: { name: string; account: string; tenant: string },
    ages: readonly (number | null)[],
  ): Promise<string[]> => {
    const ids = ages.map(() => newId());
    await runtime.query(
      `INSERT INTO scheduler.allocations (id, bot, account, tenant, host, epoch, bot_generation, reserved_cpu_millis,
         reserved_memory_mib, state, ended_at)
       SELECT id, $1, $2, $3, 'some-host', epoch, 1, 1, 1, CASE WHEN ended IS NULL THEN 'running' ELSE 'stopped' END, ended
       FROM unnest($4::uuid[], $5::timestamptz[]) WITH ORDINALITY AS t (id, ended, epoch)`,
      [bot.name, bot.account, bot.tenant, ids, ages.map((age) => (age === null ? null : daysAgo(age)))],
    );
    await runtime.query('INSERT INTO scheduler.fences (account, epoch) VALUES ($1, $2)', [
      bot.account,
      ages.length,
    ]);
    return ids;
  };
  const epochs = async (bot: { name: string }): Promise<number[]> =>
    (await runtime.allocations(bot.name)).map((row) => row.epoch);

  it('deletes ended allocations that are old, but for the newest of the account', async () => {
    const bot = await runtime.bot();
    await allocations(bot, [99, 98, 97, 50, 40, 9, null]);
    await prune();
    expect(await epochs(bot)).toEqual([5, 6, 7]);
    // The epochs go on where they were.
    expect(await runtime.query('SELECT epoch FROM scheduler.fences')).toEqual([{ epoch: 7 }]);
  });

  it('keeps young ones however many there are', async () => {
    const bot = await runtime.bot();
    await allocations(bot, [9, 8, 7, 6, 5, 4, 3]);
    await prune();
    expect(await epochs(bot)).toHaveLength(7);
  });

  it('keeps none of a bot that is gone, once they are old', async () => {
    const bot = await runtime.bot();
    await allocations(bot, [30, 9]);
    await runtime.query('DELETE FROM scheduler.bots WHERE name = $1', [bot.name]);
    await prune();
    expect(await epochs(bot)).toEqual([2]);
    expect(await runtime.query('SELECT epoch FROM scheduler.fences')).toEqual([{ epoch: 2 }]);
  });

  it('keeps what a move that is under way has left, and deletes moves that have ended', async () => {
    const bot = await runtime.bot();
    const [left] = await allocations(bot, [50, 49, 48, 47]);
    const move = async (account: string, state: string, age: number, allocation: string): Promise<string> => {
      const id = newId();
      await runtime.query(
        `INSERT INTO scheduler.moves (id, bot, tenant, account, allocation, epoch, from_host, to_host, reason,
           requested_by, state, prepare, reserved_cpu_millis, reserved_memory_mib, created_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, 1, 'a', 'b', 'drain', 'user:test', $6, true, 1, 1, $7, $7)`,
        [id, bot.name, bot.tenant, account, allocation, state, daysAgo(age)],
      );
      return id;
    };
    const living = await move(bot.account, 'switching', 50, left ?? '');
    await move(bot.account, 'done', 50, newId());
    const young = await move(bot.account, 'done', 5, newId());
    await prune();
    expect(await epochs(bot)).toEqual([1, 2, 3, 4]);
    const rows = await runtime.query<{ id: string }>('SELECT id FROM scheduler.moves ORDER BY created_at');
    expect(rows.map(({ id }) => id)).toEqual([living, young]);
  });

  it('deletes operations, their targets and invitations that ended long ago', async () => {
    const operation = async (state: string, age: number): Promise<string> => {
      const id = newId();
      await runtime.query(
        `INSERT INTO scheduler.operations (id, kind, state, requested_by, total, updated_at)
         VALUES ($1, 'bots.stop', $2, 'user:test', 1, $3)`,
        [id, state, daysAgo(age)],
      );
      await runtime.query(
        `INSERT INTO scheduler.operation_targets (operation, bot, generation, goal, state)
         VALUES ($1, 'some-bot', 1, 'stopped', $2)`,
        [id, state],
      );
      return id;
    };
    await operation('succeeded', 21);
    const kept = [await operation('failed', 19), await operation('running', 99)];
    for (const [host, used, expires] of [
      ['used', 30, 30],
      ['expired', null, 30],
      ['open', null, 0],
      ['lately', 5, 30],
    ] as const)
      await runtime.query(
        `INSERT INTO scheduler.join_tokens (id, host, token_hash, replace_key, created_at, created_by, expires_at, used_at)
         VALUES ($1, $2, sha256('x'), false, $3, 'user:test', $3, $4)`,
        [newId(), host, daysAgo(expires), used === null ? null : daysAgo(used)],
      );
    await prune();
    const ids = async (table: string, column: string): Promise<string[]> =>
      (await runtime.query<{ id: string }>(`SELECT ${column} AS id FROM scheduler.${table} ORDER BY 1`)).map(
        ({ id }) => id,
      );
    expect(await ids('operations', 'id')).toEqual([...kept].sort());
    expect(await ids('operation_targets', 'operation')).toEqual([...kept].sort());
    expect(await ids('join_tokens', 'host')).toEqual(['lately', 'open']);
  });

  it('goes on batch by batch, with a pause, until there is nothing left', async () => {
    const bot = await runtime.bot();
    await allocations(
      bot,
      Array.from({ length: 1203 }, () => 50),
    );
    const left = async (): Promise<number> => (await epochs(bot)).length;
    await prune();
    expect(await left()).toBe(703);
    await prune();
    expect(await left()).toBe(703);
    await clock.advance(1000);
    await prune();
    await clock.advance(1000);
    await prune();
    expect(await left()).toBe(3);
  });
});

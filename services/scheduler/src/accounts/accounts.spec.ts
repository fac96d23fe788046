import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { uniqueLogin, uniqueName } from '#libs/testing';
import { ApiHarness } from '../api.harness.js';
import { ReconcilerSignal } from '../reconciliation/reconciler.signal.js';

describe('accounts over NATS', () => {
  let harness: ApiHarness;
  beforeAll(async () => {
    harness = await ApiHarness.start();
  });
  afterAll(async () => {
    await harness.stop();
  });
  const newest = async (kind: string) =>
    (await harness.ask('operations.list', { limit: 20 })).operations.find(
      (operation) => operation.kind === kind,
    );

  it('makes an account with the largest login there may be', async () => {
    const tenant = await harness.aTenant();
    const request = {
      name: uniqueName('account'),
      tenant,
      server: 'Live-01',
      login: Number.MAX_SAFE_INTEGER,
    };
    const account = await harness.ask('accounts.create', request);
    expect(account).toMatchObject({ ...request, locked: null, epoch: 0, generation: 1 });
    expect(await harness.ask('accounts.get', { name: request.name })).toEqual(account);
  });

  it('lets one of two accounts for a login through when both come at once', async () => {
    const tenant = await harness.aTenant();
    const login = uniqueLogin();
    const answers = await Promise.allSettled(
      Array.from(
        { length: 8 },
        async () =>
          await harness.ask('accounts.create', { name: uniqueName('account'), tenant, server: 'S', login }),
      ),
    );
    expect(answers.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    expect(
      answers.filter((a) => a.status === 'rejected' && String(a.reason).includes('account_exists')),
    ).toHaveLength(7);
  });

  it('locks and unlocks; an operation follows the bot, whose desired state stays', async () => {
    const host = await harness.aHost();
    const { bot } = await harness.aBot();
    const allocation = await harness.anAllocation(bot.name, host);
    const signal = harness.app.get(ReconcilerSignal, { strict: false });
    signal.take();

    const locked = await harness.ask('accounts.lock', {
      name: bot.account,
      reason: 'margin call',
      expectedGeneration: 1,
    });
    expect(locked).toMatchObject({
      generation: 2,
      epoch: 1,
      locked: { reason: 'margin call', by: 'nats:anonymous' },
    });
    expect(signal.take()).toContain('accounts.lock');
    expect((await harness.ask('bots.get', { name: bot.name })).desired).toBe('running');
    const lock = await newest('accounts.lock');
    expect(lock).toMatchObject({
      state: 'running',
      targets: [{ bot: bot.name, goal: 'stopped', state: 'running' }],
    });

    await harness.sql(`UPDATE scheduler.allocations SET state = 'stopped' WHERE id = $1`, [allocation]);
    const unlocked = await harness.ask('accounts.unlock', { name: bot.account, reason: 'paid in' });
    expect(unlocked).toMatchObject({ generation: 3, locked: null });
    expect(await newest('accounts.unlock')).toMatchObject({ targets: [{ bot: bot.name, goal: 'running' }] });
    expect(await harness.ask('operations.get', { id: lock?.id ?? '' })).toMatchObject({ state: 'succeeded' });
    const events = await harness.sql(
      `SELECT event ->> 'type' AS type, body::jsonb ->> 'reason' AS reason FROM scheduler.outbox
       WHERE event ->> 'subjectId' = $1 ORDER BY id`,
      [bot.account],
    );
    expect(events.slice(1)).toEqual([
      { type: 'tradefleet.account.locked', reason: 'margin call' },
      { type: 'tradefleet.account.unlocked', reason: 'paid in' },
    ]);
  });

  it('ends an operation of a lock that has no bot to stop at once, and keeps waiting ones waiting', async () => {
    const account = await harness.anAccount();
    await harness.ask('accounts.lock', { name: account, reason: 'x' });
    expect(await newest('accounts.lock')).toMatchObject({ state: 'succeeded', progress: { total: 0 } });

    const { bot, operation } = await harness.aBot();
    await harness.ask('accounts.lock', { name: bot.account, reason: 'margin call' });
    expect(await harness.ask('operations.get', { id: operation })).toMatchObject({
      state: 'running',
      targets: [{ goal: 'running', reason: 'The account is locked: margin call' }],
    });
  });

  it('lists by tenant', async () => {
    const tenant = await harness.aTenant();
    const names = [
      await harness.anAccount(tenant),
      await harness.anAccount(tenant),
      await harness.anAccount(tenant),
    ];
    await harness.anAccount();
    const page = await harness.ask('accounts.list', { tenant, limit: 2 });
    const rest = await harness.ask('accounts.list', { tenant, after: page.next ?? '' });
    expect([...page.accounts, ...rest.accounts].map(({ name }) => name)).toEqual(names.sort());
    expect(rest.next).toBeNull();
  });
});

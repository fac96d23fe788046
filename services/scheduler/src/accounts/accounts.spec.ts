import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { uniqueLogin, uniqueName } from '#libs/testing';
import { ApiFixture } from '../api.fixture.js';
import { ReconcilerSignal } from '../reconciliation/reconciler.signal.js';

describe('accounts over NATS', () => {
  let fixture: ApiFixture;
  beforeAll(async () => {
    fixture = await ApiFixture.start();
  });
  afterAll(async () => {
    await fixture.stop();
  });
  const newest = async (kind: string) =>
    (await fixture.ask('operations.list', { limit: 20 })).operations.find(
      (operation) => operation.kind === kind,
    );

  it('makes an account with the largest login there may be', async () => {
    const tenant = await fixture.aTenant();
    const request = {
      name: uniqueName('account'),
      tenant,
      server: 'Live-01',
      login: Number.MAX_SAFE_INTEGER,
    };
    const account = await fixture.ask('accounts.create', request);
    expect(account).toMatchObject({ ...request, locked: null, epoch: 0, generation: 1 });
    expect(await fixture.ask('accounts.get', { name: request.name })).toEqual(account);
  });

  it('lets one of two accounts for a login through when both come at once', async () => {
    const tenant = await fixture.aTenant();
    const login = uniqueLogin();
    const answers = await Promise.allSettled(
      Array.from(
        { length: 8 },
        async () =>
          await fixture.ask('accounts.create', { name: uniqueName('account'), tenant, server: 'S', login }),
      ),
    );
    expect(answers.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    expect(
      answers.filter((a) => a.status === 'rejected' && String(a.reason).includes('account_exists')),
    ).toHaveLength(7);
  });

  it('locks and unlocks; an operation follows the bot, whose desired state stays', async () => {
    const host = await fixture.aHost();
    const { bot } = await fixture.aBot();
    const allocation = await fixture.anAllocation(bot.name, host);
    const signal = fixture.app.get(ReconcilerSignal, { strict: false });
    signal.take();

    const locked = await fixture.ask('accounts.lock', {
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
    expect((await fixture.ask('bots.get', { name: bot.name })).desired).toBe('running');
    const lock = await newest('accounts.lock');
    expect(lock).toMatchObject({
      state: 'running',
      targets: [{ bot: bot.name, goal: 'stopped', state: 'running' }],
    });

    await fixture.sql(`UPDATE scheduler.allocations SET state = 'stopped' WHERE id = $1`, [allocation]);
    const unlocked = await fixture.ask('accounts.unlock', { name: bot.account, reason: 'paid in' });
    expect(unlocked).toMatchObject({ generation: 3, locked: null });
    expect(await newest('accounts.unlock')).toMatchObject({ targets: [{ bot: bot.name, goal: 'running' }] });
    expect(await fixture.ask('operations.get', { id: lock?.id ?? '' })).toMatchObject({ state: 'succeeded' });
    const events = await fixture.sql(
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
    const account = await fixture.anAccount();
    await fixture.ask('accounts.lock', { name: account, reason: 'x' });
    expect(await newest('accounts.lock')).toMatchObject({ state: 'succeeded', progress: { total: 0 } });

    const { bot, operation } = await fixture.aBot();
    await fixture.ask('accounts.lock', { name: bot.account, reason: 'margin call' });
    expect(await fixture.ask('operations.get', { id: operation })).toMatchObject({
      state: 'running',
      targets: [{ goal: 'running', reason: 'The account is locked: margin call' }],
    });
  });

  it('lists by tenant', async () => {
    const tenant = await fixture.aTenant();
    const names = [
      await fixture.anAccount(tenant),
      await fixture.anAccount(tenant),
      await fixture.anAccount(tenant),
    ];
    await fixture.anAccount();
    const page = await fixture.ask('accounts.list', { tenant, limit: 2 });
    const rest = await fixture.ask('accounts.list', { tenant, after: page.next ?? '' });
    expect([...page.accounts, ...rest.accounts].map(({ name }) => name)).toEqual(names.sort());
    expect(rest.next).toBeNull();
  });
});

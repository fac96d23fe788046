import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { newId } from '#libs/contracts';
import { uniqueLogin, uniqueName } from '#libs/testing';
import { ApiHarness } from '../api.harness.js';
import { IdempotencyPruner } from './idempotency.pruner.js';

describe('idempotency keys', () => {
  let harness: ApiHarness;
  beforeAll(async () => {
    harness = await ApiHarness.start();
  });
  afterAll(async () => {
    await harness.stop();
  });

  it('give the first answer again to the same request, however its members are ordered', async () => {
    const account = await harness.anAccount();
    const idempotencyKey = newId();
    const name = uniqueName('bot');
    const first = await harness.ask('bots.create', { name, account, runtime: 'paper', idempotencyKey });
    const before = await harness.everything();
    const again = await harness.ask('bots.create', { idempotencyKey, runtime: 'paper', account, name });
    // What is left out and what is given as its default are the same request.
    const spelled = await harness.ask('bots.create', {
      name,
      account,
      runtime: 'paper',
      parameters: {},
      desired: 'running',
      idempotencyKey,
    });
    expect(again).toEqual(first);
    expect(spelled).toEqual(first);
    expect(await harness.everything()).toEqual(before);
  });

  it('do the work once for twenty of the same request at once', async () => {
    const tenant = await harness.aTenant();
    const request = {
      name: uniqueName('account'),
      tenant,
      server: 'Paper-Demo',
      login: uniqueLogin(),
      idempotencyKey: newId(),
    };
    const answers = await Promise.all(
      Array.from({ length: 20 }, async () => await harness.ask('accounts.create', request)),
    );
    expect(new Set(answers.map((answer) => JSON.stringify(answer))).size).toBe(1);
    const events = await harness.sql(
      `SELECT FROM scheduler.outbox WHERE event ->> 'subjectId' = $1 AND event ->> 'type' = 'tradefleet.account.created'`,
      [request.name],
    );
    expect(events).toHaveLength(1);
  });

  it('let exactly one of different requests under one key through', async () => {
    const idempotencyKey = newId();
    const answers = await Promise.allSettled(
      Array.from(
        { length: 10 },
        async () => await harness.ask('tenants.create', { name: uniqueName('tenant'), idempotencyKey }),
      ),
    );
    expect(answers.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    for (const answer of answers) {
      if (answer.status === 'rejected') expect(String(answer.reason)).toContain('idempotency_key_reused');
    }
  });

  it('are free again when the request was refused', async () => {
    const idempotencyKey = newId();
    const account = uniqueName('account');
    const request = { name: uniqueName('bot'), account, runtime: 'paper' as const, idempotencyKey };
    expect((await harness.refusal('bots.create', request)).code).toBe('account_not_found');
    await harness.ask('accounts.create', {
      name: account,
      tenant: await harness.aTenant(),
      server: 'Paper-Demo',
      login: uniqueLogin(),
    });
    expect((await harness.ask('bots.create', request)).bot.name).toBe(request.name);
  });

  it('are forgotten when they are old, and only then', async () => {
    const [old, young] = [newId(), newId()];
    const [first, second] = [uniqueName('tenant'), uniqueName('tenant')];
    await harness.ask('tenants.create', { name: first, idempotencyKey: old });
    await harness.ask('tenants.create', { name: second, idempotencyKey: young });
    await harness.sql(
      `UPDATE scheduler.idempotency_keys SET created_at = now() - interval '25 hours' WHERE key = $1`,
      [old],
    );
    await harness.sql(
      `INSERT INTO scheduler.idempotency_keys (key, operation_name, request_hash, response, created_at)
       SELECT 'old-' || n, 'bots.stop', '', '{}', now() - interval '2 days' FROM generate_series(1, 2500) AS n`,
    );
    expect(await harness.app.get(IdempotencyPruner, { strict: false }).prune()).toBe(2501);
    expect((await harness.refusal('tenants.create', { name: first, idempotencyKey: old })).code).toBe(
      'tenant_exists',
    );
    expect((await harness.ask('tenants.create', { name: second, idempotencyKey: young })).name).toBe(second);
  });
});

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { limits, newId, type ApiName, type ErrorCode } from '#libs/contracts';
import { uniqueLogin, uniqueName } from '#libs/testing';
import { ApiHarness } from '../api.harness.js';

/** One row: what is sent, the code it gets, and what its sentence must say. */
interface BadInput {
  readonly what: string;
  readonly name: ApiName;
  readonly request: unknown;
  readonly code: ErrorCode;
  readonly says: RegExp;
}

describe('bad input over NATS', () => {
  let harness: ApiHarness;
  /** Made once and changed by nobody: every request below is refused. */
  let tenant: string,
    account: string,
    bot: string,
    idle: string,
    locked: string,
    lockedBot: string,
    host: string;
  let draining: string, down: string, login: number, key: string;
  beforeAll(async () => {
    harness = await ApiHarness.start();
    tenant = await harness.aTenant();
    account = uniqueName('account');
    login = uniqueLogin();
    await harness.ask('accounts.create', { name: account, tenant, server: 'Paper-Demo', login });
    ({ name: bot } = (await harness.aBot({ account })).bot);
    idle = await harness.anAccount(tenant);
    locked = await harness.anAccount(tenant);
    ({ name: lockedBot } = (await harness.aBot({ account: locked, desired: 'stopped' })).bot);
    await harness.ask('accounts.lock', { name: locked, reason: 'margin call' });
    [host, draining, down] = [await harness.aHost(), await harness.aHost(), await harness.aHost('down')];
    await harness.ask('hosts.drain', { name: draining, reason: 'new kernel' });
    key = newId();
    await harness.ask('tenants.create', { name: uniqueName('tenant'), idempotencyKey: key });
  });
  afterAll(async () => {
    await harness.stop();
  });

  const cases = (): BadInput[] => [
    // the request itself
    {
      what: 'malformed JSON',
      name: 'bots.create',
      request: '{"name": "x",',
      code: 'malformed_json',
      says: /JSON/,
    },
    { what: 'no body', name: 'tenants.create', request: '', code: 'invalid_request', says: /name/ },
    {
      what: 'a list for an object',
      name: 'bots.create',
      request: [],
      code: 'invalid_request',
      says: /Correct the request and send it again/,
    },
    {
      what: 'an unknown field',
      name: 'tenants.create',
      request: { name: 'a', colour: 'red' },
      code: 'invalid_request',
      says: /colour/,
    },
    {
      what: 'a nested unknown field',
      name: 'bots.create',
      request: { name: 'a', account: idle, runtime: 'paper', resources: { gpus: 1 } },
      code: 'invalid_request',
      says: /resources.*gpus/,
    },
    {
      what: 'a wrong type',
      name: 'accounts.create',
      request: { name: 'a', tenant, server: 'Paper-Demo', login: '123' },
      code: 'invalid_request',
      says: /login/,
    },
    {
      what: 'a missing field',
      name: 'bots.create',
      request: { name: 'a', runtime: 'paper' },
      code: 'invalid_request',
      says: /account/,
    },
    {
      what: 'a name that is no token',
      name: 'tenants.create',
      request: { name: 'a.b' },
      code: 'invalid_request',
      says: /lower case letters, digits or inner hyphens/,
    },
    {
      what: 'text Postgres cannot store',
      name: 'bots.create',
      request: { name: 'a', account: idle, runtime: 'paper', parameters: { comment: 'a\u0000b' } },
      code: 'invalid_request',
      says: /without NUL/,
    },
    {
      what: 'an unknown runtime',
      name: 'bots.create',
      request: { name: 'a', account: idle, runtime: 'mt4' },
      code: 'invalid_request',
      says: /runtime/,
    },
    {
      what: 'a body beyond 256 KiB',
      name: 'tenants.create',
      request: { name: 'a', displayName: 'x'.repeat(limits.message_bytes_max) },
      code: 'payload_too_large',
      says: /262144/,
    },
    // names
    {
      what: 'a tenant nobody has',
      name: 'accounts.create',
      request: { name: 'a', tenant: 'nobody', server: 'S', login: 1 },
      code: 'tenant_not_found',
      says: /'nobody'.*tenants\.create/,
    },
    {
      what: 'an account nobody has',
      name: 'bots.create',
      request: { name: 'a', account: 'nobody', runtime: 'paper' },
      code: 'account_not_found',
      says: /'nobody'.*accounts\.create/,
    },
    ...(['bots.get', 'bots.update', 'bots.start', 'bots.stop', 'bots.delete'] as const).map((name) => ({
      what: `${name} of a bot nobody has`,
      name,
      request: { name: 'nobody' },
      code: 'bot_not_found' as const,
      says: /'nobody'.*bots\.create/,
    })),
    {
      what: 'an unknown host',
      name: 'hosts.drain',
      request: { name: 'nowhere', reason: 'x' },
      code: 'host_not_found',
      says: /'nowhere'.*hosts\.list/,
    },
    {
      what: 'an unknown host',
      name: 'hosts.ready',
      request: { name: 'nowhere' },
      code: 'host_not_found',
      says: /hosts\.list/,
    },
    {
      what: 'an unknown operation',
      name: 'operations.wait',
      request: { id: newId() },
      code: 'operation_not_found',
      says: /Take the id/,
    },
    {
      what: 'an unknown move',
      name: 'moves.get',
      request: { id: newId() },
      code: 'move_not_found',
      says: /moves\.list/,
    },
    {
      what: 'a plan to rebalance that is not the present one',
      name: 'fleet.rebalance',
      request: { version: '0'.repeat(64) },
      code: 'stale_plan',
      says: /fleet\.rebalance-plan/,
    },
    // duplicates
    {
      what: 'a duplicate account name',
      name: 'accounts.create',
      request: { name: account, tenant, server: 'Paper-Demo', login: uniqueLogin() },
      code: 'account_exists',
      says: /take another name/,
    },
    {
      what: 'a duplicate login at a server',
      name: 'accounts.create',
      request: { name: 'another', tenant, server: 'Paper-Demo', login },
      code: 'account_exists',
      says: new RegExp(`Login ${login} at 'Paper-Demo' is an account already, named '${account}'`),
    },
    {
      what: 'a duplicate bot name',
      name: 'bots.create',
      request: { name: bot, account: idle, runtime: 'paper' },
      code: 'bot_exists',
      says: /bots\.update/,
    },
    {
      what: 'a second bot on an account',
      name: 'bots.create',
      request: { name: 'another', account, runtime: 'paper' },
      code: 'account_in_use',
      says: new RegExp(`has a bot already, '${bot}'`),
    },
    // generations
    ...(['bots.update', 'bots.start', 'bots.stop', 'bots.delete'] as const).map((name) => ({
      what: `${name} with a stale generation`,
      name,
      request: { name: bot, expectedGeneration: 7 },
      code: 'stale_generation' as const,
      says: /at generation 1, not 7.*expectedGeneration 1/,
    })),
    {
      what: 'accounts.lock with a stale generation',
      name: 'accounts.lock',
      request: { name: account, reason: 'x', expectedGeneration: 2 },
      code: 'stale_generation',
      says: /account.*at generation 1, not 2/,
    },
    {
      what: 'hosts.drain with a stale generation',
      name: 'hosts.drain',
      request: { name: host, reason: 'x', expectedGeneration: 9 },
      code: 'stale_generation',
      says: /host.*at generation 1, not 9/,
    },
    // states
    {
      what: 'a lock on a locked account',
      name: 'accounts.lock',
      request: { name: locked, reason: 'again' },
      code: 'account_locked',
      says: /locked already/,
    },
    {
      what: 'an unlock of an account that is not locked',
      name: 'accounts.unlock',
      request: { name: account, reason: 'x' },
      code: 'account_not_locked',
      says: /is not locked/,
    },
    {
      what: 'a start on a locked account',
      name: 'bots.start',
      request: { name: lockedBot },
      code: 'account_locked',
      says: /margin call.*accounts\.unlock/,
    },
    {
      what: 'a drain of a draining host',
      name: 'hosts.drain',
      request: { name: draining, reason: 'x' },
      code: 'invalid_transition',
      says: /draining already/,
    },
    {
      what: 'a drain of a host that is down',
      name: 'hosts.drain',
      request: { name: down, reason: 'x' },
      code: 'invalid_transition',
      says: /is down/,
    },
    {
      what: 'an end of no drain',
      name: 'hosts.ready',
      request: { name: host },
      code: 'invalid_transition',
      says: /not being drained/,
    },
    // idempotency
    {
      what: 'a key with another body',
      name: 'tenants.create',
      request: { name: 'another', idempotencyKey: key },
      code: 'idempotency_key_reused',
      says: /Make a new key/,
    },
    {
      what: 'a key with another operation',
      name: 'bots.stop',
      request: { name: bot, idempotencyKey: key },
      code: 'idempotency_key_reused',
      says: /earlier tenants\.create/,
    },
    {
      what: 'a cursor that is none',
      name: 'operations.list',
      request: { after: 'yesterday' },
      code: 'invalid_request',
      says: /'next' of the page before/,
    },
  ];

  it('gives each its code and a sentence that says what to do, and changes nothing', async () => {
    const before = await harness.everything();
    for (const { what, name, request, code, says } of cases()) {
      const problem = await harness.refusal(name, request).catch((error: unknown) => {
        throw new Error(what, { cause: error });
      });
      expect({ what, code: problem.code }).toEqual({ what, code });
      expect({ what, detail: problem.detail }).toEqual({ what, detail: expect.stringMatching(says) });
      expect(problem.detail).toMatch(/\.$/);
      expect(await harness.everything()).toEqual(before);
    }
  });

  it('answers a body that is not UTF-8 without a crash', async () => {
    const answer = await harness.send('tenants.create', Buffer.from([0x22, 0xff, 0xfe, 0x22]));
    expect(answer).toMatchObject({ ok: false, problem: { status: 400 } });
  });
});

import { type ApiName, type ErrorCode, newId } from '#libs/contracts';
import { uniqueLogin, uniqueName } from '#libs/testing';
import type { Door, DoorAnswer } from './doors.js';
import { aManifest } from './manifests.js';

/** What there is in the fleet; made once, changed by none of the requests below. */
export interface World {
  readonly tenant: string;
  readonly idle: string;
  readonly login: number;
  readonly busy: string;
  readonly bot: string;
  readonly locked: string;
  readonly lockedBot: string;
  readonly drained: string;
  readonly key: string;
}

export interface BadInput {
  readonly what: string;
  readonly code: ErrorCode;
  readonly send: (door: Door, world: World) => Promise<DoorAnswer>;
  /** What the sentence must name, so that whoever reads it knows what to do. */
  readonly says: RegExp;
}

const row = (what: string, code: ErrorCode, says: RegExp, send: BadInput['send']): BadInput => ({
  ...{ what, code, says, send },
});
const asking =
  (name: ApiName, request: (world: World) => Record<string, unknown>) => (door: Door, world: World) =>
    door.call(name, request(world));
const account = (fields: Record<string, unknown>) => ({
  ...{ name: uniqueName('acc'), server: 'Paper-Demo', login: uniqueLogin() },
  ...fields,
});
const stale = { expectedGeneration: 999 };
export const reason = 'a scenario';

/** Sent by every door: each is refused with its code and a sentence that says what to do. */
export const badInputs: readonly BadInput[] = [
  row('malformed JSON', 'malformed_json', /JSON/, (door) => door.raw('bots.create', '{"name": "x",')),
  row('a list for an object', 'invalid_request', /body/, (door) => door.raw('bots.create', '[1]')),
  row('a missing field', 'invalid_request', /name/, (door) => door.raw('tenants.create', '{}')),
  row(
    'an unknown field',
    'invalid_request',
    /colour/,
    asking('tenants.create', () => ({ name: uniqueName('t'), colour: 'red' })),
  ),
  row(
    'an unknown field deep inside',
    'invalid_request',
    /gpus/,
    asking('bots.create', ({ idle }) => ({
      ...{ name: uniqueName('bot'), account: idle, runtime: 'paper', resources: { gpus: 1 } },
    })),
  ),
  row(
    'a wrong type',
    'invalid_request',
    /login/,
    asking('accounts.create', ({ tenant }) => account({ tenant, login: '123' })),
  ),
  row(
    'a name that is no name',
    'invalid_request',
    /lower case/,
    asking('tenants.create', () => ({ name: 'No Name' })),
  ),
  row(
    'an unknown runtime',
    'invalid_request',
    /runtime/,
    asking('bots.create', ({ idle }) => ({ name: uniqueName('bot'), account: idle, runtime: 'mt4' })),
  ),
  row(
    'more than 256 KiB',
    'payload_too_large',
    /256 KiB|262144/,
    asking('tenants.create', () => ({ name: uniqueName('t'), displayName: 'x'.repeat(256 * 1024) })),
  ),
  row(
    'a tenant that exists',
    'tenant_exists',
    /another name/,
    asking('tenants.create', ({ tenant }) => ({ name: tenant })),
  ),
  row(
    'an account name that exists',
    'account_exists',
    /another name/,
    asking('accounts.create', ({ tenant, idle }) => account({ tenant, name: idle })),
  ),
  row(
    'server and login of another account',
    'account_exists',
    /server and login/,
    asking('accounts.create', ({ tenant, login }) => account({ tenant, login })),
  ),
  row(
    'a bot that exists',
    'bot_exists',
    /bots\.update/,
    asking('bots.create', ({ bot, idle }) => ({ name: bot, account: idle, runtime: 'paper' })),
  ),
  row(
    'an account that has a bot',
    'account_in_use',
    /another account/,
    asking('bots.create', ({ busy }) => ({ name: uniqueName('bot'), account: busy, runtime: 'paper' })),
  ),
  row(
    'a bot for a locked account that is to run',
    'account_locked',
    /accounts\.unlock/,
    asking('bots.start', ({ lockedBot }) => ({ name: lockedBot })),
  ),
  row(
    'a lock on a locked account',
    'account_locked',
    /locked already/,
    asking('accounts.lock', ({ locked }) => ({ name: locked, reason })),
  ),
  row(
    'an unlock of an account that is not locked',
    'account_not_locked',
    /not locked/,
    asking('accounts.unlock', ({ idle }) => ({ name: idle, reason })),
  ),
  ...(
    [
      ['bots.update', ({ bot }: World) => ({ name: bot, parameters: { symbol: 'GBPUSD' } })],
      ['bots.stop', ({ bot }: World) => ({ name: bot })],
      ['bots.delete', ({ bot }: World) => ({ name: bot })],
      ['accounts.lock', ({ idle }: World) => ({ name: idle, reason })],
      ['hosts.drain', () => ({ name: 'host-a', reason })],
    ] as const
  ).map(([name, request]) =>
    row(
      `a generation that has passed (${name})`,
      'stale_generation',
      /Read it again/,
      asking(name, (world) => ({ ...request(world), ...stale })),
    ),
  ),
  row(
    'an idempotency key of another request',
    'idempotency_key_reused',
    /new key/,
    asking('tenants.create', ({ key }) => ({ name: uniqueName('t'), idempotencyKey: key })),
  ),
  row(
    'an unknown tenant',
    'tenant_not_found',
    /tenants\.create/,
    asking('accounts.create', () => account({ tenant: 'nobody' })),
  ),
  row(
    'an unknown account',
    'account_not_found',
    /accounts\.create/,
    asking('accounts.lock', () => ({ name: 'nobody', reason })),
  ),
  row(
    'an unknown account for a bot',
    'account_not_found',
    /accounts\.create/,
    asking('bots.create', () => ({ name: uniqueName('bot'), account: 'nobody', runtime: 'paper' })),
  ),
  ...(['bots.get', 'bots.start', 'bots.stop', 'bots.delete', 'bots.update'] as const).map((name) =>
    row(
      `an unknown bot (${name})`,
      'bot_not_found',
      /bots\.create/,
      asking(name, () => ({ name: 'nobody' })),
    ),
  ),
  row(
    'an unknown host',
    'host_not_found',
    /hosts\.list/,
    asking('hosts.drain', () => ({ name: 'nowhere', reason })),
  ),
  row(
    'an unknown operation',
    'operation_not_found',
    /Take the id/,
    asking('operations.get', () => ({ id: newId() })),
  ),
  row(
    'an unknown move',
    'move_not_found',
    /moves\.list/,
    asking('moves.get', () => ({ id: newId() })),
  ),
  row(
    'a plan to rebalance that is not the present one',
    'stale_plan',
    /fleet\.rebalance-plan/,
    asking('fleet.rebalance', () => ({ version: '0'.repeat(64) })),
  ),
  row(
    'a drain of a host that is being drained',
    'invalid_transition',
    /hosts\.ready/,
    asking('hosts.drain', ({ drained }) => ({ name: drained, reason })),
  ),
  row(
    'the end of a drain that never began',
    'invalid_transition',
    /hosts\.drain/,
    asking('hosts.ready', () => ({ name: 'host-a' })),
  ),
  row(
    'a plan that is not the present one',
    'stale_plan',
    /fleet\.plan/,
    asking('fleet.apply', () => ({ manifest: aManifest([{}]), version: '0'.repeat(64) })),
  ),
  row(
    'a plan that would make a second bot for an account',
    'account_in_use',
    /plan it again/,
    asking('fleet.plan', ({ tenant, busy }) => ({
      manifest: {
        apiVersion: 'tradefleet/v1',
        tenants: [
          {
            name: tenant,
            accounts: [],
            bots: [{ name: uniqueName('bot'), account: busy, runtime: 'paper' }],
          },
        ],
      },
    })),
  ),
];

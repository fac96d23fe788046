import {
  newId,
  Policies,
  RestartPolicy,
  type Account,
  type AllocationEventData,
  type ApiRequest,
  type Bot,
  type Capacity,
  type HostRegister,
  type PublicJwk,
  type PrepareCommand,
  type StartCommand,
  type StopCommand,
  type Tenant,
} from '#libs/contracts';
import { uniqueName } from './unique-name.js';

/**
 * Builders of valid messages and entities. Each gives every field a plain value and takes what the test is about;
 * names are unique, so that tests may share a fleet.
 */
const created = { createdAt: '2026-01-01T00:00:00.000Z', createdBy: 'user:test' };
const resources = { cpuMillis: 100, memoryMiB: 128, pids: 32 };
const policies = Policies.parse({});
let login = 100_000 + Math.floor(Math.random() * 1_000_000_000);

/** A login number no other call in this process gets; across processes a clash is unlikely. */
export const uniqueLogin = (): number => (login += 1);

/** Of somebody who signs nothing: a setting must be given, and nothing is asked. */
export const aPublicKey: PublicJwk = { kty: 'OKP', crv: 'Ed25519', x: 'A'.repeat(43) };

export function aTenant(fields: Partial<Tenant> = {}): Tenant {
  const name = fields.name ?? uniqueName('tenant');
  return {
    name,
    displayName: name,
    quotas: { bots: null, cpuMillis: null, memoryMiB: null },
    used: { bots: 0, cpuMillis: 0, memoryMiB: 0 },
    priority: 50,
    generation: 1,
    ...created,
    ...fields,
  };
}

export function anAccount(fields: Partial<Account> = {}): Account {
  return {
    name: uniqueName('account'),
    tenant: uniqueName('tenant'),
    server: 'Paper-Demo',
    login: uniqueLogin(),
    locked: null,
    epoch: 0,
    generation: 1,
    ...created,
    ...fields,
  };
}

export function aBot(fields: Partial<Bot> = {}): Bot {
  return {
    name: uniqueName('bot'),
    tenant: uniqueName('tenant'),
    account: uniqueName('account'),
    runtime: 'paper',
    version: null,
    parameters: {},
    resources,
    constraints: [],
    policies,
    desired: 'running',
    generation: 1,
    ...created,
    updatedAt: created.createdAt,
    status: {
      phase: 'none',
      reason: null,
      host: null,
      allocation: null,
      observation: null,
      failures: 0,
      nextTryAt: null,
      gaveUpAt: null,
    },
    ...fields,
  };
}

/** Request of `bots.create` with nothing but what it must have. */
export function aBotCreate(fields: Partial<ApiRequest<'bots.create'>> = {}): ApiRequest<'bots.create'> {
  return { name: uniqueName('bot'), account: uniqueName('account'), runtime: 'paper', ...fields };
}

/** Request of `accounts.create`. */
export function anAccountCreate(
  fields: Partial<ApiRequest<'accounts.create'>> = {},
): ApiRequest<'accounts.create'> {
  return {
    name: uniqueName('account'),
    tenant: uniqueName('tenant'),
    server: 'Paper-Demo',
    login: uniqueLogin(),
    ...fields,
  };
}

const commandFields = () => ({
  id: newId(),
  host: uniqueName('host'),
  account: uniqueName('account'),
  allocation: newId(),
  epoch: 1,
  actor: 'user:test',
  issuedAt: new Date().toISOString(),
  expiresAt: new Date(Date.now() + 600_000).toISOString(),
});

export function aStartCommand(fields: Partial<StartCommand> = {}): StartCommand {
  return {
    ...commandFields(),
    verb: 'start',
    tenant: uniqueName('tenant'),
    bot: uniqueName('bot'),
    botGeneration: 1,
    runtime: 'paper',
    version: null,
    parameters: {},
    resources,
    server: 'Paper-Demo',
    login: uniqueLogin(),
    stopGraceMs: 1000,
    stageTimeoutMs: 30_000,
    // A test that is about restarts in place asks for them.
    restart: RestartPolicy.parse({ attempts: 0 }),
    unhealthyAfterMs: 0,
    token: 'not-a-token',
    ...fields,
  };
}

export function aPrepareCommand(fields: Partial<PrepareCommand> = {}): PrepareCommand {
  return {
    id: newId(),
    host: uniqueName('host'),
    account: uniqueName('account'),
    actor: 'user:test',
    issuedAt: new Date().toISOString(),
    expiresAt: new Date(Date.now() + 600_000).toISOString(),
    verb: 'prepare',
    move: newId(),
    tenant: uniqueName('tenant'),
    bot: uniqueName('bot'),
    runtime: 'paper',
    version: null,
    resources,
    ...fields,
  };
}

export function aStopCommand(fields: Partial<StopCommand> = {}): StopCommand {
  return { ...commandFields(), verb: 'stop', reason: 'asked', graceMs: 1000, ...fields };
}

/** Data of an allocation event. */
export function anAllocationEvent(fields: Partial<AllocationEventData> = {}): AllocationEventData {
  return {
    allocation: newId(),
    tenant: uniqueName('tenant'),
    bot: uniqueName('bot'),
    account: uniqueName('account'),
    host: uniqueName('host'),
    epoch: 1,
    state: 'running',
    stage: null,
    attempt: 1,
    reason: null,
    detail: null,
    exitCode: null,
    ...fields,
  };
}

export function aCapacity(fields: Partial<Capacity> = {}): Capacity {
  return { cpuMillis: 4000, memoryMiB: 8192, bots: 50, ...fields };
}

/** A registration; give it the real public keys of the test's host when signatures or grants matter. */
export function aHostRegister(fields: Partial<HostRegister> = {}): HostRegister {
  const jwk = (crv: PublicJwk['crv']): PublicJwk => ({ kty: 'OKP', crv, x: 'A'.repeat(43) });
  return {
    host: uniqueName('host'),
    incarnation: newId(),
    agentVersion: '0.1.0',
    driver: 'simulated',
    runtimes: ['paper'],
    labels: {},
    capacity: aCapacity(),
    signingKey: jwk('Ed25519'),
    sealingKey: jwk('X25519'),
    ...fields,
  };
}

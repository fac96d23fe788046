import type { z } from 'zod';
import * as account from './account/account.schema.js';
import * as bot from './bot/bot.schema.js';
import * as event from './event/event-query.schema.js';
import * as fleet from './fleet/fleet.schema.js';
import * as grant from './grant/grant.schema.js';
import * as host from './host/host.schema.js';
import * as move from './move/move.schema.js';
import * as operation from './operation/operation.schema.js';
import * as rollout from './rollout/rollout.schema.js';
import * as tenant from './tenant/tenant.schema.js';
import type { ErrorCode } from './error-codes.js';
import { subjects } from './subjects.js';

/** How an operation looks over HTTP, under `/api/v1`. `{name}` in a path is a field of the request. */
export interface HttpRoute {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  readonly path: string;
  readonly status: 200 | 201 | 202;
}

/** One operation of the public API; the same over NATS and HTTP. */
export interface ApiOperation<Req extends z.ZodType = z.ZodType, Res extends z.ZodType = z.ZodType> {
  readonly entity: string;
  readonly verb: string;
  readonly summary: string;
  readonly service: 'scheduler' | 'audit' | 'secrets';
  readonly request: Req;
  readonly response: Res;
  /** Codes beyond those every operation may answer. */
  readonly errors: readonly ErrorCode[];
  readonly http: HttpRoute;
}

const define = <Req extends z.ZodType, Res extends z.ZodType>(o: ApiOperation<Req, Res>) => o;
const route = (method: HttpRoute['method'], path: string, status: HttpRoute['status'] = 200): HttpRoute => ({
  method,
  path,
  status,
});

/** Codes every operation may answer. */
export const commonErrors: readonly ErrorCode[] = [
  'malformed_json',
  'invalid_request',
  'payload_too_large',
  'unavailable',
  'timeout',
  'internal',
];
const writeErrors = ['idempotency_key_reused'] as const;

const botChange = (verb: 'start' | 'stop' | 'delete', summary: string, http: HttpRoute) =>
  define({
    entity: 'bots',
    verb,
    summary,
    service: 'scheduler',
    request: bot.BotChange,
    response: bot.BotAccepted,
    errors: [
      'bot_not_found',
      'stale_generation',
      ...(verb === 'start' ? (['account_locked', 'quota_exceeded'] as const) : []),
      ...writeErrors,
    ],
    http,
  });

/** The whole public API, `<entity>.<verb>`: the source of subjects, routes, OpenAPI, AsyncAPI and permissions. */
export const api = {
  'tenants.create': define({
    entity: 'tenants',
    verb: 'create',
    summary: 'Make a tenant',
    service: 'scheduler',
    request: tenant.TenantCreate,
    response: tenant.Tenant,
    errors: ['tenant_exists', ...writeErrors],
    http: route('POST', '/tenants', 201),
  }),
  'tenants.get': define({
    entity: 'tenants',
    verb: 'get',
    summary: 'Read a tenant',
    service: 'scheduler',
    request: tenant.TenantGet,
    response: tenant.Tenant,
    errors: ['tenant_not_found'],
    http: route('GET', '/tenants/{name}'),
  }),
  'tenants.list': define({
    entity: 'tenants',
    verb: 'list',
    summary: 'List tenants by name',
    service: 'scheduler',
    request: tenant.TenantList,
    response: tenant.TenantPage,
    errors: [],
    http: route('GET', '/tenants'),
  }),
  'tenants.update': define({
    entity: 'tenants',
    verb: 'update',
    summary: "Change a tenant's name for people, quotas or priority",
    service: 'scheduler',
    request: tenant.TenantUpdate,
    response: tenant.Tenant,
    errors: ['tenant_not_found', 'stale_generation', ...writeErrors],
    http: route('PATCH', '/tenants/{name}'),
  }),
  'accounts.create': define({
    entity: 'accounts',
    verb: 'create',
    summary: 'Make an account',
    service: 'scheduler',
    request: account.AccountCreate,
    response: account.Account,
    errors: ['tenant_not_found', 'account_exists', ...writeErrors],
    http: route('POST', '/accounts', 201),
  }),
  'accounts.get': define({
    entity: 'accounts',
    verb: 'get',
    summary: 'Read an account',
    service: 'scheduler',
    request: account.AccountGet,
    response: account.Account,
    errors: ['account_not_found'],
    http: route('GET', '/accounts/{name}'),
  }),
  'accounts.list': define({
    entity: 'accounts',
    verb: 'list',
    summary: 'List accounts by name',
    service: 'scheduler',
    request: account.AccountList,
    response: account.AccountPage,
    errors: [],
    http: route('GET', '/accounts'),
  }),
  'accounts.lock': define({
    entity: 'accounts',
    verb: 'lock',
    summary: 'Lock an account: stop its bot and keep it stopped',
    service: 'scheduler',
    request: account.AccountLock,
    response: account.Account,
    errors: ['account_not_found', 'account_locked', 'stale_generation', ...writeErrors],
    http: route('POST', '/accounts/{name}/lock'),
  }),
  'accounts.unlock': define({
    entity: 'accounts',
    verb: 'unlock',
    summary: 'Let the bot of a locked account run again',
    service: 'scheduler',
    request: account.AccountUnlock,
    response: account.Account,
    errors: ['account_not_found', 'account_not_locked', 'stale_generation', ...writeErrors],
    http: route('POST', '/accounts/{name}/unlock'),
  }),
  'bots.create': define({
    entity: 'bots',
    verb: 'create',
    summary: 'Make a bot and run it',
    service: 'scheduler',
    request: bot.BotCreate,
    response: bot.BotAccepted,
    errors: [
      'account_not_found',
      'bot_exists',
      'account_in_use',
      'account_locked',
      'quota_exceeded',
      ...writeErrors,
    ],
    http: route('POST', '/bots', 202),
  }),
  'bots.get': define({
    entity: 'bots',
    verb: 'get',
    summary: 'Read a bot and how it runs',
    service: 'scheduler',
    request: bot.BotGet,
    response: bot.Bot,
    errors: ['bot_not_found'],
    http: route('GET', '/bots/{name}'),
  }),
  'bots.list': define({
    entity: 'bots',
    verb: 'list',
    summary: 'List bots by name',
    service: 'scheduler',
    request: bot.BotList,
    response: bot.BotPage,
    errors: [],
    http: route('GET', '/bots'),
  }),
  'bots.update': define({
    entity: 'bots',
    verb: 'update',
    summary: 'Change a bot; a running one is replaced',
    service: 'scheduler',
    request: bot.BotUpdate,
    response: bot.BotAccepted,
    errors: ['bot_not_found', 'stale_generation', 'quota_exceeded', ...writeErrors],
    http: route('PATCH', '/bots/{name}', 202),
  }),
  'bots.start': botChange('start', 'Run a bot', route('POST', '/bots/{name}/start', 202)),
  'bots.stop': botChange('stop', 'Stop a bot', route('POST', '/bots/{name}/stop', 202)),
  'bots.delete': botChange('delete', 'Stop a bot and remove it', route('DELETE', '/bots/{name}', 202)),
  'hosts.list': define({
    entity: 'hosts',
    verb: 'list',
    summary: 'List hosts by name',
    service: 'scheduler',
    request: host.HostList,
    response: host.HostPage,
    errors: [],
    http: route('GET', '/hosts'),
  }),
  'hosts.get': define({
    entity: 'hosts',
    verb: 'get',
    summary: 'Read a host',
    service: 'scheduler',
    request: host.HostGet,
    response: host.Host,
    errors: ['host_not_found'],
    http: route('GET', '/hosts/{name}'),
  }),
  'hosts.invite': define({
    entity: 'hosts',
    verb: 'invite',
    summary: 'Make a one-time token that lets an agent join as a host',
    service: 'scheduler',
    request: host.HostInvite,
    response: host.HostInvited,
    errors: ['host_not_found', 'invalid_transition', ...writeErrors],
    http: route('POST', '/hosts/{name}/invite', 201),
  }),
  'hosts.remove': define({
    entity: 'hosts',
    verb: 'remove',
    summary: 'Forget a host that is down and has nothing',
    service: 'scheduler',
    request: host.HostRemove,
    response: host.Host,
    errors: ['host_not_found', 'invalid_transition', 'stale_generation', ...writeErrors],
    http: route('DELETE', '/hosts/{name}'),
  }),
  'hosts.label': define({
    entity: 'hosts',
    verb: 'label',
    summary: 'Give a host labels, or take such away',
    service: 'scheduler',
    request: host.HostLabel,
    response: host.Host,
    errors: ['host_not_found', 'stale_generation', ...writeErrors],
    http: route('PATCH', '/hosts/{name}/labels'),
  }),
  'hosts.drain': define({
    entity: 'hosts',
    verb: 'drain',
    summary: 'Move everything off a host and place nothing more on it',
    service: 'scheduler',
    request: host.HostDrain,
    response: host.Host,
    errors: ['host_not_found', 'invalid_transition', 'stale_generation', ...writeErrors],
    http: route('POST', '/hosts/{name}/drain'),
  }),
  'hosts.ready': define({
    entity: 'hosts',
    verb: 'ready',
    summary: 'End a drain',
    service: 'scheduler',
    request: host.HostReady,
    response: host.Host,
    errors: ['host_not_found', 'invalid_transition', 'stale_generation', ...writeErrors],
    http: route('POST', '/hosts/{name}/ready'),
  }),
  'operations.get': define({
    entity: 'operations',
    verb: 'get',
    summary: 'Read an operation',
    service: 'scheduler',
    request: operation.OperationGet,
    response: operation.Operation,
    errors: ['operation_not_found'],
    http: route('GET', '/operations/{id}'),
  }),
  'operations.wait': define({
    entity: 'operations',
    verb: 'wait',
    summary: 'Read an operation once it has ended, or when the time is up',
    service: 'scheduler',
    request: operation.OperationWait,
    response: operation.Operation,
    errors: ['operation_not_found'],
    http: route('GET', '/operations/{id}/wait'),
  }),
  'operations.list': define({
    entity: 'operations',
    verb: 'list',
    summary: 'List operations, newest first',
    service: 'scheduler',
    request: operation.OperationList,
    response: operation.OperationPage,
    errors: [],
    http: route('GET', '/operations'),
  }),
  'fleet.plan': define({
    entity: 'fleet',
    verb: 'plan',
    summary: 'Compare a manifest with the fleet; changes nothing',
    service: 'scheduler',
    request: fleet.FleetPlan,
    response: fleet.FleetPlanned,
    errors: ['account_exists', 'account_in_use', 'account_not_found', 'invalid_transition', 'quota_exceeded'],
    http: route('POST', '/fleet/plan'),
  }),
  'fleet.leader': define({
    entity: 'fleet',
    verb: 'leader',
    summary: 'Read which scheduler leads, and since when',
    service: 'scheduler',
    request: fleet.LeaderGet,
    response: fleet.Leader,
    errors: [],
    http: route('GET', '/fleet/leader'),
  }),
  'fleet.apply': define({
    entity: 'fleet',
    verb: 'apply',
    summary: 'Carry out a plan, all of it or nothing',
    service: 'scheduler',
    request: fleet.FleetApply,
    response: fleet.FleetApplied,
    errors: [
      'stale_plan',
      'account_exists',
      'account_in_use',
      'account_not_found',
      'invalid_transition',
      'quota_exceeded',
      ...writeErrors,
    ],
    http: route('POST', '/fleet/apply', 202),
  }),
  'rollouts.plan': define({
    entity: 'rollouts',
    verb: 'plan',
    summary: 'Show what a rollout would change and restart; changes nothing',
    service: 'scheduler',
    request: rollout.RolloutPlan,
    response: rollout.RolloutPlanned,
    errors: [],
    http: route('POST', '/rollouts/plan'),
  }),
  'rollouts.create': define({
    entity: 'rollouts',
    verb: 'create',
    summary: 'Change many bots, a few at a time, and go back when they do not become healthy',
    service: 'scheduler',
    request: rollout.RolloutCreate,
    response: rollout.Rollout,
    errors: ['stale_plan', 'rollout_conflict', 'version_not_offered', 'invalid_transition', ...writeErrors],
    http: route('POST', '/rollouts', 202),
  }),
  'rollouts.get': define({
    entity: 'rollouts',
    verb: 'get',
    summary: 'Read a rollout and how far it is',
    service: 'scheduler',
    request: rollout.RolloutGet,
    response: rollout.Rollout,
    errors: ['rollout_not_found'],
    http: route('GET', '/rollouts/{id}'),
  }),
  'rollouts.list': define({
    entity: 'rollouts',
    verb: 'list',
    summary: 'List rollouts, newest first',
    service: 'scheduler',
    request: rollout.RolloutList,
    response: rollout.RolloutPage,
    errors: [],
    http: route('GET', '/rollouts'),
  }),
  'rollouts.pause': define({
    entity: 'rollouts',
    verb: 'pause',
    summary: 'Change no more bots until it is resumed',
    service: 'scheduler',
    request: rollout.RolloutHold,
    response: rollout.Rollout,
    errors: ['rollout_not_found', 'invalid_transition', ...writeErrors],
    http: route('POST', '/rollouts/{id}/pause'),
  }),
  'rollouts.resume': define({
    entity: 'rollouts',
    verb: 'resume',
    summary: 'Go on with a paused rollout',
    service: 'scheduler',
    request: rollout.RolloutHold,
    response: rollout.Rollout,
    errors: ['rollout_not_found', 'invalid_transition', ...writeErrors],
    http: route('POST', '/rollouts/{id}/resume'),
  }),
  'rollouts.abort': define({
    entity: 'rollouts',
    verb: 'abort',
    summary: 'End a rollout; changed bots stay as they are, or go back when that is asked for',
    service: 'scheduler',
    request: rollout.RolloutAbort,
    response: rollout.Rollout,
    errors: ['rollout_not_found', 'invalid_transition', ...writeErrors],
    http: route('POST', '/rollouts/{id}/abort'),
  }),
  'fleet.rebalance-plan': define({
    entity: 'fleet',
    verb: 'rebalance-plan',
    summary: 'Which bots to move so that hosts are loaded alike; changes nothing',
    service: 'scheduler',
    request: move.RebalancePlan,
    response: move.RebalancePlanned,
    errors: [],
    http: route('POST', '/fleet/rebalance/plan'),
  }),
  'fleet.rebalance': define({
    entity: 'fleet',
    verb: 'rebalance',
    summary: 'Carry out a plan to rebalance',
    service: 'scheduler',
    request: move.Rebalance,
    response: move.Rebalanced,
    errors: ['stale_plan', ...writeErrors],
    http: route('POST', '/fleet/rebalance', 202),
  }),
  'moves.get': define({
    entity: 'moves',
    verb: 'get',
    summary: 'Read a move',
    service: 'scheduler',
    request: move.MoveGet,
    response: move.Move,
    errors: ['move_not_found'],
    http: route('GET', '/moves/{id}'),
  }),
  'moves.list': define({
    entity: 'moves',
    verb: 'list',
    summary: 'List moves of bots between hosts, newest first',
    service: 'scheduler',
    request: move.MoveList,
    response: move.MovePage,
    errors: [],
    http: route('GET', '/moves'),
  }),
  'events.query': define({
    entity: 'events',
    verb: 'query',
    summary: 'Search the audit log',
    service: 'audit',
    request: event.EventQuery,
    response: event.EventPage,
    errors: [],
    http: route('GET', '/events'),
  }),
  'credentials.key': define({
    entity: 'credentials',
    verb: 'key',
    summary: 'The key to seal a password to',
    service: 'secrets',
    request: grant.CredentialKeyGet,
    response: grant.CredentialKey,
    errors: [],
    http: route('GET', '/credentials/key'),
  }),
  'credentials.set': define({
    entity: 'credentials',
    verb: 'set',
    summary: "Store an account's sealed password",
    service: 'secrets',
    request: grant.CredentialSet,
    response: grant.CredentialStatus,
    errors: ['account_not_found'],
    http: route('PUT', '/accounts/{account}/credentials'),
  }),
  'credentials.status': define({
    entity: 'credentials',
    verb: 'status',
    summary: 'When credentials were set and last granted; never the password',
    service: 'secrets',
    request: grant.CredentialStatusGet,
    response: grant.CredentialStatus,
    errors: ['credentials_missing'],
    http: route('GET', '/accounts/{account}/credentials'),
  }),
} as const;

export type ApiName = keyof typeof api;
/** What a client may send: defaults not yet filled in. */
export type ApiRequest<N extends ApiName> = z.input<(typeof api)[N]['request']>;
/** What a handler gets: validated, defaults filled in. */
export type ApiParsed<N extends ApiName> = z.output<(typeof api)[N]['request']>;
export type ApiResponse<N extends ApiName> = z.output<(typeof api)[N]['response']>;
export const apiNames = Object.keys(api) as ApiName[];

/** `fleet.v1.api.<entity>.<verb>` of an operation. */
export const apiSubject = (name: ApiName): string => subjects.api(api[name].entity, api[name].verb);

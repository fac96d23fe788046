import { api, type ApiName } from '../api.js';
import type { EventTypeName } from './event.catalogue.js';

/** What an operation that changes something leaves in the log when it succeeds, by whom it was asked. */
interface Changes {
  /** Of each success one or more of these. */
  readonly events: readonly [EventTypeName, ...EventTypeName[]];
}
/** An operation that changes nothing, and so leaves nothing when it succeeds. */
interface Reads {
  readonly events: readonly [];
  /** Why nothing is recorded. */
  readonly reads: string;
}

const changes = (...events: [EventTypeName, ...EventTypeName[]]): Changes => ({ events });
const reads = (why: string): Reads => ({ events: [], reads: why });

const state = 'shows what is there';
const plan = 'computes what would change; carrying it out is recorded';
const log = 'reads the log';

/**
 * What is recorded of each operation of the API when it succeeds. A new operation does not compile until it stands here.
 * When it is refused, that is `tradefleet.request.refused`, of a read `tradefleet.request.read-refused`: see
 * `refusalType`.
 */
export const apiEvents = {
  'tenants.create': changes('tradefleet.tenant.created'),
  'tenants.get': reads(state),
  'tenants.list': reads(state),
  'tenants.update': changes('tradefleet.tenant.updated'),
  'accounts.create': changes('tradefleet.account.created'),
  'accounts.get': reads(state),
  'accounts.list': reads(state),
  'accounts.lock': changes('tradefleet.account.locked'),
  'accounts.unlock': changes('tradefleet.account.unlocked'),
  'bots.create': changes('tradefleet.bot.created', 'tradefleet.operation.accepted'),
  'bots.get': reads(state),
  'bots.list': reads(state),
  'bots.update': changes('tradefleet.bot.updated', 'tradefleet.operation.accepted'),
  'bots.start': changes('tradefleet.bot.start-requested', 'tradefleet.operation.accepted'),
  'bots.stop': changes('tradefleet.bot.stop-requested', 'tradefleet.operation.accepted'),
  'bots.delete': changes('tradefleet.bot.delete-requested', 'tradefleet.operation.accepted'),
  'hosts.list': reads(state),
  'hosts.get': reads(state),
  'hosts.invite': changes('tradefleet.host.invited'),
  'hosts.remove': changes('tradefleet.host.removed'),
  'hosts.label': changes('tradefleet.host.labelled'),
  'hosts.drain': changes('tradefleet.host.draining'),
  'hosts.ready': changes('tradefleet.host.ready'),
  'operations.get': reads(state),
  'operations.wait': reads(state),
  'operations.list': reads(state),
  'fleet.plan': reads(plan),
  'fleet.leader': reads(state),
  'fleet.apply': changes(
    'tradefleet.operation.accepted',
    'tradefleet.tenant.created',
    'tradefleet.tenant.updated',
    'tradefleet.account.created',
    'tradefleet.bot.created',
    'tradefleet.bot.updated',
    'tradefleet.bot.delete-requested',
  ),
  'rollouts.plan': reads(plan),
  'rollouts.create': changes('tradefleet.rollout.created'),
  'rollouts.get': reads(state),
  'rollouts.list': reads(state),
  'rollouts.pause': changes('tradefleet.rollout.paused'),
  'rollouts.resume': changes('tradefleet.rollout.resumed'),
  'rollouts.abort': changes('tradefleet.rollout.aborted', 'tradefleet.rollout.reverting'),
  'fleet.rebalance-plan': reads(plan),
  'fleet.rebalance': changes('tradefleet.operation.accepted'),
  'moves.get': reads(state),
  'moves.list': reads(state),
  'events.query': reads(log),
  'events.tail': reads(log),
  'events.count': reads(log),
  'quarantine.list': reads(log),
  'producers.list': reads(log),
  'gaps.list': reads(log),
  'log.checkpoint': reads(log),
  'log.checkpoints': reads(log),
  'log.inclusion': reads(log),
  'log.consistency': reads(log),
  'log.records': reads(log),
  'log.restore': changes('tradefleet.audit.records-restored'),
  'subjects.erase': changes('tradefleet.audit.subject-erased'),
  'subjects.export': changes('tradefleet.audit.subject-exported'),
  'retention.plan': reads(plan),
  'retention.run': changes('tradefleet.audit.partition-archived', 'tradefleet.audit.partition-dropped'),
  'retention.get': reads(log),
  'archives.list': reads(log),
  'archives.records': reads(log),
  'holds.place': changes('tradefleet.audit.hold-placed'),
  'holds.release': changes('tradefleet.audit.hold-released'),
  'holds.list': reads(log),
  'security.events': reads(log),
  'security.unusual': reads(log),
  'security.report': reads(log),
  'credentials.key': reads('a public key'),
  'credentials.set': changes('tradefleet.credential.set'),
  'credentials.status': reads('never shows a password'),
} as const satisfies Readonly<Record<ApiName, Changes | Reads>>;

export const isApiName = (name: string): name is ApiName => Object.hasOwn(api, name);

/** Whether an operation of the API changes something. */
export const changesState = (name: ApiName): boolean => apiEvents[name].events.length > 0;

/** The event that tells of a refused request. A route or subject that is no operation counts as a change: it may have been meant as one. */
export const refusalType = (
  operation: string,
): 'tradefleet.request.refused' | 'tradefleet.request.read-refused' =>
  isApiName(operation) && !changesState(operation)
    ? 'tradefleet.request.read-refused'
    : 'tradefleet.request.refused';

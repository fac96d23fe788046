import type { EventTypeName } from '#libs/contracts';

export type ServiceName = 'scheduler' | 'agent' | 'audit' | 'secrets' | 'gateway';

const scheduler = ['scheduler'] as const;
const agent = ['agent'] as const;
const secrets = ['secrets'] as const;

/** Who may publish each event. A new event does not compile until it stands here. */
export const eventProducers: Readonly<Record<EventTypeName, readonly ServiceName[]>> = {
  'tradefleet.tenant.created': scheduler,
  'tradefleet.tenant.updated': scheduler,
  'tradefleet.account.created': scheduler,
  'tradefleet.account.locked': scheduler,
  'tradefleet.account.unlocked': scheduler,
  'tradefleet.bot.created': scheduler,
  'tradefleet.bot.updated': scheduler,
  'tradefleet.bot.start-requested': scheduler,
  'tradefleet.bot.stop-requested': scheduler,
  'tradefleet.bot.delete-requested': scheduler,
  'tradefleet.bot.deleted': scheduler,
  'tradefleet.bot.queued': scheduler,
  'tradefleet.bot.gave-up': scheduler,
  'tradefleet.allocation.placed': scheduler,
  'tradefleet.allocation.accepted': agent,
  'tradefleet.allocation.preparing': agent,
  'tradefleet.allocation.starting': agent,
  'tradefleet.allocation.running': agent,
  'tradefleet.allocation.stage-reached': agent,
  'tradefleet.allocation.restarting': agent,
  'tradefleet.allocation.adopted': agent,
  'tradefleet.allocation.stopping': agent,
  // The scheduler ends allocations itself that their host does not know or was never told of.
  'tradefleet.allocation.stopped': ['agent', 'scheduler'],
  'tradefleet.allocation.failed': ['agent', 'scheduler'],
  'tradefleet.allocation.lost': scheduler,
  'tradefleet.host.registered': scheduler,
  'tradefleet.host.invited': scheduler,
  'tradefleet.host.join-refused': scheduler,
  'tradefleet.host.removed': scheduler,
  'tradefleet.host.labelled': scheduler,
  'tradefleet.host.overcommitted': scheduler,
  'tradefleet.host.draining': scheduler,
  'tradefleet.host.ready': scheduler,
  'tradefleet.host.down': scheduler,
  'tradefleet.host.stray-found': agent,
  'tradefleet.host.swept': agent,
  'tradefleet.operation.accepted': scheduler,
  'tradefleet.operation.ended': scheduler,
  'tradefleet.command.rejected': agent,
  'tradefleet.message.rejected': ['scheduler', 'agent', 'audit', 'secrets'],
  'tradefleet.request.refused': ['scheduler', 'audit', 'secrets', 'gateway'],
  'tradefleet.grant.issued': secrets,
  'tradefleet.grant.refused': secrets,
  'tradefleet.credential.set': secrets,
  'tradefleet.session.refused': ['gateway'],
};

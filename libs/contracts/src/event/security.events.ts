import type { SecurityEventType, SecurityResult } from '../security/security.schema.js';
import type { EventTypeName } from './event.catalogue.js';

/** How an event reads in a security review. */
export interface SecurityMark {
  readonly eventType: SecurityEventType;
  readonly result: SecurityResult;
  /** The field of the data that says what was asked for, where the event's own type does not. */
  readonly actionField?: string;
}

const mark =
  (eventType: SecurityEventType, result: SecurityResult) =>
  (actionField?: string): SecurityMark => ({
    ...{ eventType, result },
    ...(actionField === undefined ? {} : { actionField }),
  });

const change = mark('configuration_change', 'success')();
const access = mark('admin_access', 'success')();
const refused = mark('admin_access', 'denied');
const turnedAway = mark('authentication_failure', 'denied');
const intrusion = mark('system_intrusion', 'detected')();
const integrity = mark('log_integrity', 'detected')();

/**
 * Which events a security review reads, and how. Null: the course of trading and of the fleet's own work. A new event
 * does not compile until it stands here.
 */
export const securityEvents: Readonly<Record<EventTypeName, SecurityMark | null>> = {
  'tradefleet.tenant.created': change,
  'tradefleet.tenant.updated': change,
  'tradefleet.account.created': change,
  'tradefleet.account.locked': change,
  'tradefleet.account.unlocked': change,
  'tradefleet.bot.created': change,
  'tradefleet.bot.updated': change,
  'tradefleet.bot.start-requested': change,
  'tradefleet.bot.stop-requested': change,
  'tradefleet.bot.delete-requested': change,
  'tradefleet.bot.deleted': null,
  'tradefleet.bot.queued': null,
  'tradefleet.bot.gave-up': mark('unusual_activity', 'failure')(),
  'tradefleet.allocation.placed': null,
  'tradefleet.allocation.accepted': null,
  'tradefleet.allocation.preparing': null,
  'tradefleet.allocation.starting': null,
  'tradefleet.allocation.running': null,
  'tradefleet.allocation.stage-reached': null,
  'tradefleet.allocation.restarting': null,
  'tradefleet.allocation.adopted': null,
  'tradefleet.allocation.stopping': null,
  'tradefleet.allocation.stopped': null,
  'tradefleet.allocation.failed': null,
  'tradefleet.allocation.lost': null,
  'tradefleet.host.registered': mark('authentication_attempt', 'success')(),
  'tradefleet.host.invited': change,
  'tradefleet.host.join-refused': turnedAway(),
  'tradefleet.host.removed': change,
  'tradefleet.host.labelled': change,
  'tradefleet.host.overcommitted': null,
  'tradefleet.host.draining': change,
  'tradefleet.host.ready': change,
  'tradefleet.host.down': null,
  'tradefleet.host.stray-found': intrusion,
  'tradefleet.host.swept': null,
  'tradefleet.host.drain-overdue': null,
  'tradefleet.host.drained': null,
  'tradefleet.leader.restore-noticed': intrusion,
  'tradefleet.move.planned': null,
  'tradefleet.move.prepared': null,
  'tradefleet.move.prepare-failed': null,
  'tradefleet.move.switching': null,
  'tradefleet.move.cancelled': null,
  'tradefleet.move.failed': null,
  'tradefleet.bot.moved': null,
  'tradefleet.rollout.created': change,
  'tradefleet.rollout.batch-started': null,
  'tradefleet.rollout.paused': change,
  'tradefleet.rollout.resumed': change,
  'tradefleet.rollout.reverting': change,
  'tradefleet.rollout.reverted': null,
  'tradefleet.rollout.succeeded': null,
  'tradefleet.rollout.failed': null,
  'tradefleet.rollout.aborted': change,
  'tradefleet.operation.accepted': null,
  'tradefleet.operation.ended': null,
  'tradefleet.command.rejected': intrusion,
  'tradefleet.message.rejected': intrusion,
  'tradefleet.request.refused': refused('operation'),
  'tradefleet.request.read-refused': refused('operation'),
  'tradefleet.request.refusals-suppressed': refused(),
  'tradefleet.grant.issued': mark('credential_access', 'success')(),
  'tradefleet.grant.refused': mark('unauthorized_data_access', 'denied')(),
  'tradefleet.credential.set': mark('credential_access', 'success')(),
  'tradefleet.session.refused': turnedAway('path'),
  'tradefleet.audit.quarantined': integrity,
  'tradefleet.audit.quarantine-flooded': integrity,
  'tradefleet.audit.quarantine-pruned': access,
  'tradefleet.audit.log-diverged': integrity,
  'tradefleet.audit.log-damaged': mark('log_integrity', 'failure')(),
  'tradefleet.audit.log-mended': mark('log_integrity', 'success')(),
  'tradefleet.audit.tiles-rebuilt': integrity,
  'tradefleet.audit.records-restored': access,
  'tradefleet.audit.gap-found': integrity,
  'tradefleet.audit.gap-refilled': mark('log_integrity', 'success')(),
  'tradefleet.audit.gap-lost': mark('log_integrity', 'failure')(),
  'tradefleet.security.unusual-activity': mark('unusual_activity', 'detected')(),
  'tradefleet.security.weekly-report': access,
  'tradefleet.audit.subject-erased': access,
  'tradefleet.audit.subject-exported': access,
  'tradefleet.audit.hold-placed': access,
  'tradefleet.audit.hold-released': access,
  'tradefleet.audit.partition-archived': access,
  'tradefleet.audit.partition-dropped': access,
  'tradefleet.audit.retention-failed': mark('log_integrity', 'failure')(),
};

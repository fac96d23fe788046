import { isEventType, securityEvents, type Severity, type UnusualRule } from '#libs/contracts';
import { subjectActor } from '../../privacy/subject.names.js';

/** What of a record the rules look at. */
export interface SignalRow {
  readonly time: Date;
  readonly type: string;
  readonly severity: Severity;
  readonly source: string;
  readonly entity_id: string;
  readonly subject_id: string | null;
}

/** A rule that counts single events. */
export type BurstRuleName = Exclude<UnusualRule, 'unusual-volume'>;
export interface Signal {
  readonly rule: BurstRuleName;
  readonly who: string;
}

/** Events that are counted whatever their severity; of the others the warnings and the critical ones are read. */
export const countedTypes: readonly string[] = [
  'tradefleet.session.refused',
  'tradefleet.host.registered',
  'tradefleet.host.join-refused',
] satisfies (keyof typeof securityEvents)[];

/** `/agent/a` is `host:a`, any other source a service. */
export function producerOf(source: string): string {
  const [, service = '', host] = source.split('/');
  return host === undefined ? `service:${service}` : `host:${host}`;
}

/** What a record counts to. */
export function signalsOf(row: SignalRow): Signal[] {
  const signals: Signal[] = [];
  if (row.type === 'tradefleet.session.refused') {
    // The address itself is sealed; whose key it is under tells one from another.
    const who = row.subject_id === null ? producerOf(row.source) : subjectActor(row.subject_id);
    signals.push({ rule: 'failed-logins', who }, { rule: 'connection-rate', who });
  } else if (countedTypes.includes(row.type)) {
    signals.push({ rule: 'connection-rate', who: `host:${row.entity_id}` });
  }
  if (isError(row)) signals.push({ rule: 'error-rate', who: producerOf(row.source) });
  return signals;
}

/** What somebody has done on purpose is no error, however grave; and what is told here must not lead to more of it. */
function isError({ type, severity }: SignalRow): boolean {
  if (severity !== 'warning' && severity !== 'critical') return false;
  if (!isEventType(type) || type === 'tradefleet.security.unusual-activity') return false;
  return securityEvents[type]?.result !== 'success';
}

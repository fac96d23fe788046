import { securitySeverities, type SecurityReport } from '#libs/contracts';
import type { Counted, WeekFacts } from './report.repository.js';
import type { WeekRange } from './week.js';

/** The report of a week by what the log has of it; persons as the log names them. */
export function reportOf({ week, from, to }: WeekRange, facts: WeekFacts, closed: boolean): SecurityReport {
  const ofType = (type: string): number => total(facts.types.filter((row) => row.type === type));
  const entitiesOf = (type: string): Counted[] =>
    facts.entities.filter((row) => row.type === type).map(({ name, count }) => ({ name, count }));
  const severity = (wanted: string): number =>
    total(facts.types.filter((row) => securitySeverities[row.severity] === wanted));
  const result = (wanted: string): number => total(facts.security.filter((row) => row.result === wanted));
  const gap = (outcome: string) => facts.gaps.find((row) => row.outcome === outcome);
  const unusual = entitiesOf('tradefleet.security.unusual-activity');
  const { lastCheckpoint: last } = facts;
  const report = {
    week,
    from: from.toISOString(),
    to: to.toISOString(),
    closed,
    asOf: facts.asOf,
    digest: null,
    events: {
      total: total(facts.types),
      byType: grouped(facts.types.map(({ type: name, count }) => ({ name, count }))),
      bySeverity: {
        low: severity('low'),
        medium: severity('medium'),
        high: severity('high'),
        critical: severity('critical'),
      },
    },
    security: {
      total: total(facts.security),
      byEventType: grouped(facts.security.map(({ event_type: name, count }) => ({ name, count }))),
      byResult: {
        success: result('success'),
        failure: result('failure'),
        denied: result('denied'),
        detected: result('detected'),
      },
    },
    refused: {
      // The event that tells of the suppressed ones is denied as well, and is none itself.
      total: result('denied') - ofType('tradefleet.request.refusals-suppressed'),
      suppressed: facts.suppressed,
      top: facts.refused,
    },
    actors: facts.actors,
    unusual: { total: ofType('tradefleet.security.unusual-activity'), byRule: unusual },
    gaps: {
      found: gap('found')?.count ?? 0,
      refilled: gap('refilled')?.count ?? 0,
      lost: gap('lost')?.count ?? 0,
      eventsLost: gap('lost')?.events ?? 0,
    },
    quarantined: { total: total(facts.quarantined), byCode: facts.quarantined },
    checkpoints: {
      total: facts.checkpoints,
      last: last === null ? null : { size: last.size, root: last.root, at: last.at.toISOString() },
      diverged: ofType('tradefleet.audit.log-diverged'),
    },
    hosts: {
      registered: entitiesOf('tradefleet.host.registered'),
      removed: entitiesOf('tradefleet.host.removed'),
    },
    credentialsSet: {
      total: ofType('tradefleet.credential.set'),
      accounts: entitiesOf('tradefleet.credential.set'),
    },
  };
  return report as SecurityReport;
}

const total = (rows: readonly { readonly count: number }[]): number =>
  rows.reduce((sum, { count }) => sum + count, 0);

/** One entry a name, by count, then by name. */
function grouped(rows: readonly Counted[]): Counted[] {
  const counts = new Map<string, number>();
  for (const { name, count } of rows) counts.set(name, (counts.get(name) ?? 0) + count);
  return [...counts]
    .map(([name, count]) => ({ name, count }))
    .sort((a, b) => b.count - a.count || (a.name < b.name ? -1 : 1));
}

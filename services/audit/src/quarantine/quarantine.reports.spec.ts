import { describe, expect, it } from '@jest/globals';
import { createLogger } from '#libs/telemetry';
import { VirtualClock } from '#libs/testing';
import { quarantined, type QuarantinedMessage } from '../ingestion/recorded-event.js';
import { events_a_minute_max, QuarantineReports } from './quarantine.reports.js';

const logger = createLogger({ service: 'audit-spec', level: 'silent' });
const messages = (count: number, source = '/scheduler'): QuarantinedMessage[] =>
  Array.from({ length: count }, (_, n) =>
    quarantined(
      { streamSeq: n, subject: 'x', headers: {}, bytes: Buffer.from(String(n)) },
      {
        ...{ code: n % 2 === 0 ? ('bad_data' as const) : ('clock_off' as const), reason: 'why', source },
        place: { source, incarnation: 'i', sequence: n + 1 },
      },
    ),
  );

describe('QuarantineReports', () => {
  it('tells of so many a minute, and of the others by their number once the minute is over', async () => {
    const clock = new VirtualClock();
    const reports = new QuarantineReports(clock, logger);
    const tell = (count: number): number => {
      const report = reports.report(messages(count));
      reports.count(report);
      return report.events.length;
    };
    expect(tell(50)).toBe(50);
    expect(tell(50)).toBe(events_a_minute_max - 50);
    expect(tell(10)).toBe(0);
    expect(reports.flood()).toBeNull();
    await clock.advance(60_000);
    expect(reports.flood()?.data).toEqual({ count: 50, codes: { bad_data: 25, clock_off: 25 } });
    reports.forget();
    expect(reports.flood()).toBeNull();
    expect(tell(3)).toBe(3);
  });

  it('counts nothing of a commit that did not happen', () => {
    const reports = new QuarantineReports(new VirtualClock(), logger);
    expect(reports.report(messages(100)).events).toHaveLength(60);
    expect(reports.report(messages(100)).events).toHaveLength(60);
  });

  it('does not tell of its own events, which would be told of in turn', () => {
    const reports = new QuarantineReports(new VirtualClock(), logger);
    expect(reports.report(messages(5, '/audit')).events).toEqual([]);
  });
});

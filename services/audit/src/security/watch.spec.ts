import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { SecurityReport, newId, type EventTypeName } from '#libs/contracts';
import { encodeSignedEvent, SigningKey } from '#libs/messaging';
import { startPostgres, waitFor, type TestPostgres } from '#libs/testing';
import { createHash } from 'node:crypto';
import { AuditFixture } from '../testing/audit.fixture.js';
import { weeksBefore } from './report/week.js';

interface Told {
  readonly type: EventTypeName;
  readonly subjectId: string;
  readonly actor: string;
  readonly data: Record<string, unknown>;
  readonly at: number;
}

const minute_ms = 60_000;
const hour_ms = 60 * minute_ms;
const look = { securityLookMs: 200 };

describe('what the audit service looks for', () => {
  let postgres: TestPostgres;
  let fixture: AuditFixture;
  let key: SigningKey;
  let incarnation: string;
  let sequence: number;

  beforeAll(async () => {
    postgres = await startPostgres();
    key = await SigningKey.generate();
  });
  beforeEach(async () => {
    [incarnation, sequence] = [newId(), 0];
    fixture = await AuditFixture.create(await postgres.createDatabase(), {
      trustedKeys: { '/gateway': [key.publicJwk], '/scheduler': [key.publicJwk] },
    });
  });
  afterEach(async () => await fixture.stop());
  afterAll(async () => await postgres.stop());

  async function tell(source: '/gateway' | '/scheduler', told: readonly Told[]): Promise<void> {
    const messages = await Promise.all(
      told.map(async ({ at, ...event }) => {
        sequence += 1;
        const attributes = { id: newId(at), time: new Date(at).toISOString(), source, incarnation, sequence };
        return await encodeSignedEvent(
          { ...event, ...attributes } as Parameters<typeof encodeSignedEvent>[0],
          key,
        );
      }),
    );
    const outcomes = await fixture.messaging.publishDurableAll(messages);
    expect(outcomes.every(({ ok }) => ok)).toBe(true);
    const ids = messages.map(({ messageId }) => messageId);
    await waitFor(
      async () =>
        (await fixture.query('SELECT 1 FROM audit.events WHERE id = ANY ($1)', [ids])).length === ids.length,
      { what: 'the events to be recorded', timeoutMs: 60_000 },
    );
  }
  const session = (ip: string, at: number): Told => ({
    ...{ type: 'tradefleet.session.refused', subjectId: 'gateway', actor: 'user:unknown', at },
    data: { method: 'GET', path: '/api/v1/bots', ip },
  });
  const locked = (account: string, at: number): Told => ({
    ...{ type: 'tradefleet.account.locked', subjectId: account, actor: 'user:ada', at },
    data: { tenant: 't', account, generation: 2, reason: null },
  });
  const refused = (at: number): Told => ({
    ...{ type: 'tradefleet.request.refused', subjectId: newId(), actor: 'user:eve', at },
    data: { operation: 'bots.stop', code: 'bot_not_found', detail: 'No.' },
  });
  const unusual = async () => (await fixture.messaging.call('security.unusual', {})).activity;
  /** The services have looked at everything that is recorded, their own events too. */
  const caughtUp = async () => {
    await waitFor(
      async () =>
        (
          await fixture.query(
            `SELECT 1 FROM audit_work.activity_place p, audit_work.head h WHERE p.position = h.size
               AND NOT EXISTS (SELECT 1 FROM audit_work.outbox WHERE event IS NOT NULL AND published_at IS NULL)`,
          )
        ).length === 1,
      { what: 'the log to be looked at', timeoutMs: 60_000 },
    );
  };

  it('is found by two at once, told of once for each rule, who and window, and shown by name', async () => {
    await fixture.start(look);
    await fixture.start(look);
    await caughtUp();
    const at = Date.now() - 10 * minute_ms;
    await tell('/gateway', [
      ...[0, 1, 2, 3].map((n) => session('192.0.2.1', at + n * 1000)),
      ...[0, 1, 2, 3, 4, 5, 6].map((n) => session('192.0.2.2', at + n * 1000)),
    ]);
    // Those that did something on purpose are none, those that were refused are.
    await tell('/scheduler', [
      ...Array.from({ length: 15 }, (_, n) => locked(`a${n}`, at + n * 100)),
      ...Array.from({ length: 12 }, (_, n) => refused(at + n * 100)),
    ]);
    await waitFor(async () => (await unusual()).length >= 3, { what: 'it to be noticed', timeoutMs: 60_000 });
    // The fifth of the other address comes within the window, in another portion.
    await tell('/gateway', [session('192.0.2.1', at + 4000), session('192.0.2.2', at + 8000)]);
    await waitFor(async () => (await unusual()).length >= 4, {
      what: 'the other address',
      timeoutMs: 60_000,
    });
    await caughtUp();
    const found = (await unusual())
      .map(({ rule, who, count, threshold, from, to }) => ({
        ...{ rule, who, count, threshold },
        ...{ begins: Date.parse(from) - at, lasts: Date.parse(to) - Date.parse(from) },
      }))
      .sort((a, b) => a.who.localeCompare(b.who));
    const some: unknown = expect.any(Number);
    const errors = { rule: 'error-rate', count: some, threshold: 10, begins: 0, lasts: 60_000 };
    const logins = { rule: 'failed-logins', threshold: 5, begins: 0, lasts: 300_000 };
    expect(found).toEqual([
      { ...logins, who: 'ip:192.0.2.1', count: 5 },
      { ...logins, who: 'ip:192.0.2.2', count: some },
      { ...errors, who: 'service:gateway' },
      { ...errors, who: 'service:scheduler' },
    ]);
    const { events } = await fixture.messaging.call('security.events', {
      eventType: 'unusual_activity',
      order: 'asc',
    });
    expect(events.map(({ details }) => details['who']).sort()).toEqual(found.map(({ who }) => who).sort());
    const [stored] = await fixture.query<{ line: string }>(
      `SELECT string_agg(data::text, ' ') AS line FROM audit.events WHERE type = 'tradefleet.security.unusual-activity'`,
    );
    expect(stored?.line).toMatch(/subject:/);
    expect(stored?.line).not.toContain('192.0.2');
  });

  it('is more than a producer usually tells in an hour', async () => {
    const settings = {
      ...look,
      unusualActivity: {
        ...{
          failedLogins: { threshold: 9999, windowMs: 1000 },
          connectionRate: { threshold: 9999, windowMs: 1000 },
        },
        errorRate: { threshold: 9999, windowMs: 1000 },
        volume: { eventsMin: 20, factor: 3, hoursMin: 4 },
      },
    };
    await fixture.start(settings);
    await caughtUp();
    const now = Math.floor(Date.now() / hour_ms) * hour_ms;
    // Four hours of ten events each, then one of thirty: as many as are not unusual yet.
    for (const [ago, count] of [
      [5, 10],
      [4, 10],
      [3, 10],
      [2, 10],
      [1, 30],
    ] as const)
      await tell(
        '/scheduler',
        Array.from({ length: count }, (_, n) => locked(`v${n}`, now - ago * hour_ms + n)),
      );
    await caughtUp();
    expect(await unusual()).toEqual([]);
    await tell('/scheduler', [locked('one-more', now - hour_ms + 1000)]);
    await waitFor(async () => (await unusual()).length === 1, { what: 'the volume', timeoutMs: 60_000 });
    expect(await unusual()).toMatchObject([
      {
        ...{ rule: 'unusual-volume', who: 'service:scheduler', count: 31, threshold: 30 },
        from: new Date(now - hour_ms).toISOString(),
      },
    ]);
    await tell('/scheduler', [locked('and-more', now - hour_ms + 2000)]);
    await caughtUp();
    expect(await unusual()).toHaveLength(1);
  });

  it('makes the report of a week that is over once, and always shows the same', async () => {
    const [last] = weeksBefore(Date.now(), 1);
    if (last === undefined) throw new Error('no week');
    const at = last.from.getTime() + 3 * 24 * hour_ms;
    const recorder = await fixture.start({ securityLookMs: hour_ms });
    await tell('/gateway', [session('192.0.2.9', at), session('192.0.2.9', at + 1)]);
    await tell('/scheduler', [locked('a1', at), locked('a2', at), refused(at), locked('now', Date.now())]);
    const open = await fixture.messaging.call('security.report', { week: last.week });
    expect(open).toMatchObject({
      ...{ week: last.week, closed: false, digest: null },
      events: { total: 5, bySeverity: { low: 0, medium: 0, high: 5, critical: 0 } },
      security: { total: 5, byResult: { success: 2, failure: 0, denied: 3, detected: 0 } },
      refused: {
        ...{ total: 3, suppressed: 0 },
        top: [
          { action: '/api/v1/bots', code: null, count: 2 },
          { action: 'bots.stop', code: 'bot_not_found', count: 1 },
        ],
      },
      actors: expect.arrayContaining([
        { name: 'user:ada', count: 2 },
        { name: 'user:eve', count: 1 },
      ]),
    });
    await recorder.stop();

    await Promise.all([fixture.start(look), fixture.start(look), fixture.start(look)]);
    const told = async () =>
      (await fixture.messaging.call('events.query', { type: 'tradefleet.security.weekly-report' })).events;
    await waitFor(async () => (await told()).length > 0, { what: 'the report', timeoutMs: 60_000 });
    const closed = await fixture.messaging.call('security.report', { week: last.week });
    expect(closed).toMatchObject({ closed: true, events: open.events, actors: open.actors });
    expect(await fixture.messaging.call('security.report', {})).toEqual(closed);
    // What comes later does not change it.
    await tell('/scheduler', [locked('late', at + 5)]);
    expect(await fixture.messaging.call('security.report', { week: last.week })).toEqual(closed);
    await caughtUp();
    const events = await told();
    expect(events).toMatchObject([
      {
        entityId: last.week,
        data: { week: last.week, digest: closed.digest, events: 5, refused: 3, unusual: 0 },
      },
    ]);
    const [row] = await fixture.query<{ body: string }>('SELECT body FROM audit.reports');
    expect(
      createHash('sha256')
        .update(row?.body ?? '')
        .digest('hex'),
    ).toBe(closed.digest);
    expect(SecurityReport.parse(JSON.parse(row?.body ?? '')).actors).not.toEqual(closed.actors);
    await expect(fixture.messaging.call('security.report', { week: '2025-W53' })).rejects.toMatchObject({
      code: 'invalid_request',
    });
  });
});

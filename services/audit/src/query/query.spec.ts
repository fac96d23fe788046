import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { apiSubject, newId, type ApiRequest, type EventPage, type FleetEvent } from '#libs/contracts';
import { startPostgres, waitFor, type TestPostgres } from '#libs/testing';
import { AuditFixture } from '../testing/audit.fixture.js';

const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
const day_ms = 86_400_000;
const start_ms = (Math.floor(Date.now() / day_ms) - 2) * day_ms;
const at = (second: number) => new Date(start_ms + second * 1000).toISOString();

describe('events.query', () => {
  let postgres: TestPostgres;
  let fixture: AuditFixture;
  /** In the order of time, then of id. */
  let events: ReturnType<AuditFixture['event']>[];

  beforeAll(async () => {
    postgres = await startPostgres();
    fixture = await AuditFixture.create(await postgres.createDatabase());
    const shared = { subjectId: newId(), actor: 'user:ada' };
    events = [
      ...Array.from({ length: 20 }, (_, n) => fixture.event({ time: at(n) })),
      // Five at the same instant: the id decides.
      ...Array.from({ length: 5 }, () => fixture.event({ time: at(30), ...shared })),
      fixture.event({ time: at(40), traceparent, ...shared }),
    ].toSorted((a, b) => a.time.localeCompare(b.time) || a.id.localeCompare(b.id));
    await fixture.publish(...events.toReversed());
    await fixture.start();
    await waitFor(async () => (await fixture.recordedIds()).length === events.length);
  });
  afterAll(async () => {
    await fixture.stop();
    await postgres.stop();
  });

  const query = async (request: ApiRequest<'events.query'>) =>
    await fixture.messaging.call('events.query', request);
  const idsOf = (page: EventPage) => page.events.map((event) => event.id);
  const ids = (from: number, to?: number) => events.slice(from, to).map((event) => event.id);

  /** Follows `next` to its end. */
  async function pages(request: ApiRequest<'events.query'>): Promise<string[][]> {
    const all: string[][] = [];
    let page = await query(request);
    all.push(idsOf(page));
    while (page.next !== null && all.length < 100) {
      page = await query({ ...request, after: page.next });
      all.push(idsOf(page));
    }
    return all;
  }

  it('shows an event as the contract says', async () => {
    const page = await query({ traceId: '0af7651916cd43dd8448eb211c80319c' });
    const event = events.at(-1);
    const [{ position } = { position: '' }] = await fixture.query<{ position: string }>(
      'SELECT position FROM audit.events WHERE id = $1',
      [event?.id],
    );
    const expected: FleetEvent = {
      id: event?.id ?? '',
      source: '/scheduler',
      type: 'tradefleet.allocation.placed',
      time: at(40),
      subject: `allocation/${event?.subjectId ?? ''}`,
      sequence: event?.sequence ?? 0,
      incarnation: event?.incarnation ?? '',
      actor: 'user:ada',
      traceparent,
      entity: 'allocation',
      entityId: event?.subjectId ?? '',
      severity: 'info',
      data: event?.data ?? {},
      position: Number(position),
    };
    expect(page).toEqual({ events: [expected], next: null });
  });

  it('gives the newest first, or the oldest, through all pages, each event once', async () => {
    for (const limit of [1, 3, 7, 26, 500]) {
      const oldest = await pages({ order: 'asc', limit });
      const newest = await pages({ limit });
      expect(oldest.flat()).toEqual(ids(0));
      expect(newest.flat()).toEqual(ids(0).toReversed());
      expect(oldest.slice(0, -1).every((page) => page.length === limit)).toBe(true);
    }
  });

  it('does not shift pages when events arrive in between', async () => {
    const first = await query({ limit: 4, to: at(50) });
    const late = fixture.event({ time: at(60) });
    await fixture.publish(late);
    await waitFor(async () => idsOf(await query({ from: at(60) })).length === 1);
    const second = await query({ limit: 4, to: at(50), after: first.next ?? '' });
    expect([...idsOf(first), ...idsOf(second)]).toEqual(ids(-8).toReversed());
  });

  it('joins filters with AND', async () => {
    const shared = events.at(-1)?.subjectId ?? '';
    expect(idsOf(await query({ entityId: shared, entity: 'allocation', order: 'asc' }))).toEqual(ids(20));
    expect(idsOf(await query({ actor: 'user:ada', to: at(40), order: 'asc' }))).toEqual(ids(20, 25));
    expect(idsOf(await query({ from: at(3), to: at(6), order: 'asc' }))).toEqual(ids(3, 6));
    expect(idsOf(await query({ type: 'tradefleet.allocation.placed', from: at(40), to: at(41) }))).toEqual(
      ids(25),
    );
    expect(await query({ type: 'tradefleet.allocation.lost' })).toEqual({ events: [], next: null });
    expect(await query({ actor: 'user:ada', entity: 'bot' })).toEqual({ events: [], next: null });
  });

  it('takes a filter for a value and never for SQL', async () => {
    expect(await query({ entityId: "x' OR '1'='1" })).toEqual({ events: [], next: null });
    expect(await query({ type: '$1; DELETE FROM audit.events' })).toEqual({ events: [], next: null });
  });

  it.each([
    ['a cursor that is none', { after: 'abc' }],
    ['an unknown field', { who: 'me' }],
    ['a limit beyond the bound', { limit: 501 }],
    ['a time that is none', { from: 'yesterday' }],
    ['an unknown order', { order: 'random' }],
  ])('refuses %s', async (_, request) => {
    const asking = fixture.messaging.request(apiSubject('events.query'), request);
    await expect(asking).rejects.toMatchObject({ code: 'invalid_request' });
  });

  it('goes from month to month, also where a page ends within one', async () => {
    const subjectId = newId();
    const far = [-100, -99, -66, -65, -64, -3].map((days) =>
      fixture.event({ subjectId, time: at(days * 86_400) }),
    );
    await fixture.publish(...far);
    const ids = far.map((event) => event.id);
    await waitFor(async () => (await fixture.recordedIds()).filter((id) => ids.includes(id)).length === 6);
    for (const limit of [1, 2, 3, 4, 6, 7]) {
      const request = { entityId: subjectId, entity: 'allocation', limit };
      expect((await pages({ ...request, order: 'asc' })).flat()).toEqual(ids);
      expect((await pages(request)).flat()).toEqual(ids.toReversed());
      const from = at(-100 * 86_400);
      expect((await pages({ ...request, from, to: at(-64 * 86_400) })).flat()).toEqual(
        ids.slice(0, 4).toReversed(),
      );
    }
  });

  it('cuts a page that would not fit a message, and loses nothing', async () => {
    const subjectId = newId();
    const large = Array.from({ length: 450 }, (_, n) =>
      // Controls take six bytes each in JSON.
      fixture.event({ subjectId, time: at(100 + n) }, { detail: '\u0001'.repeat(300) }),
    );
    await fixture.publish(...large);
    await waitFor(async () => (await fixture.recordedIds()).length > 456 + events.length);
    const all = await pages({ entityId: subjectId, entity: 'allocation', order: 'asc', limit: 500 });
    expect(all.length).toBeGreaterThan(1);
    expect(all.flat()).toEqual(large.map((event) => event.id));
  });
});

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { apiSubject, type ApiRequest, type EventPage, type Reply } from '#libs/contracts';
import { encodeSignedEvent } from '#libs/messaging';
import { startPostgres, waitFor, type TestPostgres } from '#libs/testing';
import type { RunningAudit } from '../audit.process.js';
import { ReaderDatabase } from '../database/reader.js';
import { AuditFixture } from '../testing/audit.fixture.js';

const minute_ms = 60_000;
const hour_ms = 60 * minute_ms;
const base_ms = Math.floor(Date.now() / hour_ms) * hour_ms - 5 * hour_ms;
const at = (minute: number) => new Date(base_ms + minute * minute_ms).toISOString();

describe('the log', () => {
  let postgres: TestPostgres;
  let fixture: AuditFixture;
  let audit: RunningAudit;
  /** Events by what they are called here. */
  const idOf = new Map<string, string>();

  beforeAll(async () => {
    postgres = await startPostgres();
    fixture = await AuditFixture.create(await postgres.createDatabase());
    audit = await fixture.start();
    await placed('margin', at(0), { detail: 'Margin call, says the broker' });
    await lost('line', at(1), { detail: 'The broker closed the line' });
    await placed('later', at(61), {});
    await tenant('tenant', at(62));
    await recorded('tenant');
  });
  afterAll(async () => {
    await fixture.stop();
    await postgres.stop();
  });

  type Data = Parameters<AuditFixture['event']>[1];
  async function placed(name: string, time: string, data: Data): Promise<void> {
    const event = fixture.event({ time, subjectId: `id-${name}` }, data);
    idOf.set(name, event.id);
    await fixture.publish(event);
  }
  async function lost(name: string, time: string, data: Data): Promise<void> {
    const event = { ...fixture.event({ time }, data), type: 'tradefleet.allocation.lost' as const };
    idOf.set(name, event.id);
    await fixture.messaging.publishDurable(await encodeSignedEvent(event, fixture.schedulerKey));
  }
  async function tenant(name: string, time: string): Promise<void> {
    const event = {
      ...fixture.event({ time }),
      ...{ type: 'tradefleet.tenant.created' as const, data: { tenant: 'acme', generation: 1 } },
    };
    idOf.set(name, event.id);
    await fixture.messaging.publishDurable(await encodeSignedEvent(event, fixture.schedulerKey));
  }
  const recorded = async (name: string) =>
    await waitFor(async () => (await fixture.recordedIds()).includes(idOf.get(name) ?? ''), {
      what: `${name} to be recorded`,
    });
  const nameOf = (id: string) => [...idOf].find(([, other]) => other === id)?.[0] ?? id;
  const names = ({ events }: Pick<EventPage, 'events'>) => events.map(({ id }) => nameOf(id));

  /** What the audit service tells of itself, as of requests that it refuses, is not asked for. */
  const source = '/scheduler';
  const query = async (request: ApiRequest<'events.query'>) =>
    await fixture.messaging.call('events.query', { source, ...request });
  const count = async (request: ApiRequest<'events.count'>) =>
    await fixture.messaging.call('events.count', { source, ...request });
  const tail = async (request: ApiRequest<'events.tail'>) =>
    await fixture.messaging.call('events.tail', { source, ...request }, { timeoutMs: 30_000 });

  it.each<[ApiRequest<'events.query'>, string[]]>([
    [{ source: '/scheduler' }, ['margin', 'line', 'later', 'tenant']],
    [{ source: '/agent/none' }, []],
    [{ severity: 'critical' }, ['line']],
    [{ severity: 'warning' }, ['line']],
    [{ severity: 'notice' }, ['line', 'tenant']],
    [{ severity: 'info' }, ['margin', 'line', 'later', 'tenant']],
    [{ retention: 'audit' }, ['tenant']],
    [{ retention: 'trading', severity: 'critical' }, ['line']],
    [{ entityId: 'id-margin' }, ['margin']],
    [{ text: 'margin' }, ['margin']],
    [{ text: 'BROKER' }, ['margin', 'line']],
    [{ text: 'broker -margin' }, ['line']],
    [{ text: '"closed the line"' }, ['line']],
    [{ text: '"line the closed"' }, []],
    [{ text: 'call or line' }, ['margin', 'line']],
    [{ text: 'broker', from: at(1) }, ['line']],
    [{ text: "') OR ('" }, []],
    [{ from: '0000-01-01T00:00:00Z', to: at(1) }, ['margin']],
    [{ to: '0000-01-01T00:00:00Z' }, []],
  ])('is searched by %j', async (filter, expected) => {
    expect(names(await query({ ...filter, order: 'asc' }))).toEqual(expected);
  });

  it.each([
    ['events.query', { entity: 'a\0' }],
    ['events.query', { text: '' }],
    ['events.query', { severity: 'bad' }],
    ['events.count', { from: at(5), to: at(5) }],
    ['events.count', { from: at(0), to: at(1501), bucket: 'minute' }],
    ['events.count', { groups: 21 }],
    ['events.tail', { position: -1 }],
    ['events.tail', { position: 1_000_000 }],
    ['events.tail', { timeoutMs: 30_001 }],
  ] as const)('refuses %s %j', async (name, request) => {
    await expect(fixture.messaging.request(apiSubject(name), request)).rejects.toMatchObject({
      code: 'invalid_request',
    });
  });

  it('is paged as it was at the first page, whatever comes late', async () => {
    const first = await query({ order: 'asc', limit: 2 });
    expect(names(first)).toEqual(['margin', 'line']);
    await placed('late', at(61.5), {});
    await recorded('late');
    const second = await query({ order: 'asc', limit: 2, after: first.next ?? '' });
    expect(names(second)).toEqual(['later', 'tenant']);
    expect(second.next).toBeNull();
    expect(names(await query({ order: 'asc', from: at(61) }))).toEqual(['later', 'late', 'tenant']);
  });

  it('is counted in whole buckets', async () => {
    const hours = await count({ from: at(1), to: at(62) });
    expect(hours).toEqual({
      ...{ bucket: 'hour', from: at(0), to: at(120), total: 5, counts: [2, 3], groups: [] },
      others: { groups: 0, total: 0 },
    });
    const minutes = await count({ bucket: 'minute', from: at(60), to: at(63), text: '-nothing' });
    expect(minutes.counts).toEqual([0, 0, 0]);
    expect((await count({ bucket: 'minute', from: at(60), to: at(63) })).counts).toEqual([0, 2, 1]);
    const days = await count({ bucket: 'day' });
    expect(days.counts).toHaveLength(30);
    expect(days.total).toBe(5);
    expect((await count({})).total).toBe(5);
  });

  it('is counted by group, those with most first, and says what is left out', async () => {
    const range = { from: at(0), to: at(120) };
    const types = await count({ ...range, by: 'type', groups: 1 });
    expect(types.groups).toEqual([{ group: 'tradefleet.allocation.placed', total: 3, counts: [1, 2] }]);
    expect(types.others).toEqual({ groups: 2, total: 2 });
    expect(types).toMatchObject({ total: 5, counts: [2, 3] });
    const shown = async (by: 'severity' | 'source' | 'entity') =>
      (await count({ ...range, by })).groups.map(({ group, total }) => `${group} ${total}`);
    expect(await shown('severity')).toEqual(['info 3', 'critical 1', 'notice 1']);
    expect(await shown('source')).toEqual(['/scheduler 5']);
    expect(await shown('entity')).toEqual(['allocation 4', 'tenant 1']);
    expect(await count({ ...range, by: 'type', actor: 'user:nobody' })).toMatchObject({
      total: 0,
      groups: [],
    });
  });

  it('is followed by a stock client, late events too, each once', async () => {
    const client = await fixture.client();
    try {
      const request = async (body: object) =>
        (await client.request(apiSubject('events.tail'), JSON.stringify(body))).json<
          Reply<{ events: { id: string; position: number }[]; next: number; size: number }>
        >();
      const seen: string[] = [];
      for (let position = 0; ;) {
        const reply = await request({ position, limit: 2, source });
        if (!reply.ok) throw new Error(reply.problem.detail);
        seen.push(...reply.result.events.map(({ id }) => nameOf(id)));
        position = reply.result.next;
        if (position === reply.result.size) break;
      }
      expect(seen).toEqual(['margin', 'line', 'later', 'tenant', 'late']);
      const now = await request({});
      expect(now).toMatchObject({ ok: true, result: { events: [] } });
      expect(now.ok && now.result.next === now.result.size && now.result.size >= 5).toBe(true);
    } finally {
      await client.close();
    }
  });

  it('shows a follower what is of months ago where it was recorded', async () => {
    const { next } = await tail({});
    for (const [name, days] of [
      ['newer', 0],
      ['of-winter', 100],
      ['older', 70],
      ['newest', 0],
    ] as const)
      await placed(name, new Date(base_ms - days * 24 * hour_ms).toISOString(), {});
    await recorded('newest');
    const page = await tail({ position: next });
    expect(names(page)).toEqual(['newer', 'of-winter', 'older', 'newest']);
    const first = await tail({ position: next, limit: 2 });
    expect(names(first)).toEqual(['newer', 'of-winter']);
    await lost('grave', new Date(base_ms - 80 * 24 * hour_ms).toISOString(), {});
    await recorded('grave');
    expect(names(await tail({ position: next, severity: 'critical' }))).toEqual(['grave']);
  });

  it('answers a follower as soon as something fits, and not for anything else', async () => {
    const { next } = await tail({});
    const following = tail({ position: next, severity: 'critical', timeoutMs: 25_000 });
    await placed('unfit', at(0), {});
    await recorded('unfit');
    await lost('fit', at(-60), {});
    const page = await following;
    expect(names(page)).toEqual(['fit']);
    expect(page.events[0]?.position).toBe(page.next - 1);
    expect(page.next).toBeGreaterThanOrEqual(next + 2);
    const quiet = await tail({ position: page.next, timeoutMs: 100 });
    expect(quiet).toEqual({ events: [], next: quiet.size, size: quiet.size });
  });

  it('lets followers go when the service stops', async () => {
    const { next } = await tail({});
    const following = tail({ position: next, timeoutMs: 30_000 });
    // Behind it: the service has the other one by now.
    await tail({});
    await audit.stop();
    const page = await following;
    audit = await fixture.start();
    expect(page.events).toEqual([]);
    expect(page.next).toBeGreaterThanOrEqual(next);
  });

  it('gives up a query that takes too long, and reads only', async () => {
    const reader = await ReaderDatabase.connect(fixture.config);
    try {
      await expect(
        reader.bounded(50, async (queryable) => await queryable.query<object[]>('SELECT pg_sleep(20)')),
      ).rejects.toMatchObject({ code: 'query_too_costly' });
      await expect(
        reader.bounded(
          1000,
          async (queryable) => await queryable.query<object[]>('CREATE TEMP TABLE t (n integer)'),
        ),
      ).rejects.toThrow('read-only');
      expect(await reader.query('SELECT 1 AS one')).toEqual([{ one: 1 }]);
    } finally {
      await reader.onApplicationShutdown();
    }
  });

  it('finds what a person did by the name', async () => {
    const event = fixture.event({ actor: 'user:grace' });
    idOf.set('grace', event.id);
    await fixture.publish(event);
    await recorded('grace');
    const page = await query({ actor: 'user:grace' });
    expect(names(page)).toEqual(['grace']);
    expect(page.events[0]?.actor).toBe('user:grace');
    expect((await count({ actor: 'user:grace', bucket: 'minute' })).total).toBe(1);
    const { events } = await tail({ actor: 'user:grace', position: 0 });
    expect(names({ events })).toEqual(['grace']);
  });
});

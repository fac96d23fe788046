import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { apiSubject, newId, type FleetEvent } from '#libs/contracts';
import { startPostgres, waitFor, withClient, type TestPostgres } from '#libs/testing';
import { AuditFixture } from '../testing/audit.fixture.js';

describe('what the log holds of a person', () => {
  let postgres: TestPostgres;
  let fixture: AuditFixture;

  beforeAll(async () => {
    postgres = await startPostgres();
    fixture = await AuditFixture.create(await postgres.createDatabase());
    // Two at once: they must agree on the key of a person.
    await fixture.start();
    await fixture.start();
  });
  afterAll(async () => {
    await fixture.stop();
    await postgres.stop();
  });

  const eventsOf = async (actor: string): Promise<FleetEvent[]> =>
    (await fixture.messaging.call('events.query', { actor, order: 'asc', limit: 500 })).events;

  /** Publishes that many events of somebody and waits until they are recorded. */
  async function publishAs(actor: string, count: number) {
    const events = Array.from({ length: count }, () => fixture.event({ actor }));
    await fixture.publish(...events);
    await waitFor(async () => (await eventsOf(actor)).length === count);
    return events;
  }

  const rawRows = async (ids: readonly string[]) =>
    await fixture.query<{ line: string; subject_id: string | null; signature: string }>(
      `SELECT events::text AS line, subject_id, signature FROM audit.events WHERE id = ANY ($1) ORDER BY position`,
      [ids],
    );

  it('is sealed in the table and readable in answers, found by the name', async () => {
    const actor = `user:grace-${newId()}`;
    const events = await publishAs(actor, 3);
    expect((await eventsOf(actor)).map(({ id, actor: who }) => [id, who])).toEqual(
      events
        .map(({ id }) => id)
        .sort()
        .map((id) => [id, actor]),
    );
    const rows = await rawRows(events.map(({ id }) => id));
    expect(rows).toHaveLength(3);
    for (const { line, signature } of rows) {
      expect(line).not.toContain('grace');
      expect(signature).toMatch(/^sealed:/);
    }
    expect(await eventsOf(`user:nobody-${newId()}`)).toEqual([]);
  });

  it('is under one key, however many processes meet the person first', async () => {
    const actors = Array.from({ length: 20 }, (_, n) => `user:new-${n}-${newId()}`);
    const events = actors.flatMap((actor) => Array.from({ length: 10 }, () => fixture.event({ actor })));
    await fixture.publish(...events);
    const ids = events.map(({ id }) => id);
    await waitFor(async () => (await rawRows(ids)).length === ids.length);
    const subjects = new Set((await rawRows(ids)).map((row) => row.subject_id));
    expect(subjects.size).toBe(actors.length);
  });

  it('stays erased, and nothing else of the log changes', async () => {
    const actor = `user:eve-${newId()}`;
    const events = await publishAs(actor, 4);
    const ids = events.map(({ id }) => id);
    const before = await rawRows(ids);
    const subject = before[0]?.subject_id ?? '';

    const erased = await fixture.messaging.call('subjects.erase', {
      name: actor,
      reason: 'she asked for it',
    });
    expect(erased.subjects).toEqual([{ subject, records: 4 }]);
    expect(await rawRows(ids)).toEqual(before);
    expect(await eventsOf(actor)).toEqual([]);
    const shown = await eventsOf(`erased:${subject}`);
    expect(shown.map(({ id }) => id).sort()).toEqual(ids.toSorted());
    expect(await fixture.query('SELECT * FROM audit_work.subjects WHERE id = $1', [subject])).toEqual([]);
    expect(await fixture.query('SELECT records FROM audit.erasures WHERE subject = $1', [subject])).toEqual([
      { records: '4' },
    ]);

    await waitFor(async () => (await ownEvents('tradefleet.audit.subject-erased', subject)).length === 1);
    expect((await ownEvents('tradefleet.audit.subject-erased', subject))[0]?.data).toEqual({
      ...{ subject, records: 4, reason: 'she asked for it' },
    });
    await expect(
      fixture.messaging.call('subjects.erase', { subject, reason: 'once more' }),
    ).rejects.toMatchObject({ code: 'subject_not_found' });

    // Whoever comes again is somebody new, and what was delivered before is known still.
    await fixture.publish(...events);
    const again = fixture.event({ actor });
    await fixture.publish(again);
    await waitFor(async () => (await eventsOf(actor)).length === 1);
    expect((await eventsOf(actor))[0]?.id).toBe(again.id);
    expect(await rawRows(ids)).toEqual(before);
    expect(await fixture.query("SELECT 1 FROM audit.quarantine WHERE code = 'id_conflict'")).toEqual([]);
  });

  async function ownEvents(type: string, entityId: string): Promise<FleetEvent[]> {
    return (await fixture.messaging.call('events.query', { entity: 'audit', entityId, type })).events;
  }

  it('is given out in full, page by page, and that is an event', async () => {
    const actor = `user:ada-${newId()}`;
    const events = await publishAs(actor, 7);
    const got: string[] = [];
    let after: string | undefined;
    let subject = '';
    do {
      const page = await fixture.messaging.call('subjects.export', {
        ...{ name: actor, limit: 3 },
        ...(after === undefined ? {} : { after }),
      });
      expect(page.events.every((event) => event.actor === actor)).toBe(true);
      got.push(...page.events.map(({ id }) => id));
      subject = page.subjects[0] ?? '';
      after = page.next ?? undefined;
    } while (after !== undefined && got.length < 100);
    expect(got).toEqual(events.map(({ id }) => id).sort());
    await waitFor(async () => (await ownEvents('tradefleet.audit.subject-exported', subject)).length === 1);
  });

  it.each([
    ['nobody', {}],
    ['two at once', { name: 'user:ada', subject: newId() }],
    ['a name that is none', { name: 'ada' }],
  ])('refuses to speak of %s', async (_, request) => {
    for (const operation of ['subjects.erase', 'subjects.export'] as const) {
      const full = operation === 'subjects.erase' ? { reason: 'x', ...request } : request;
      await expect(fixture.messaging.request(apiSubject(operation), full)).rejects.toMatchObject({
        code: 'invalid_request',
      });
    }
  });

  it('does not let the writer destroy a key but by the function, which leaves a trace', async () => {
    await publishAs(`user:kept-${newId()}`, 1);
    const asWriter = async (sql: string) =>
      await withClient(fixture.config.databaseUrl, async (client) => await client.query(sql));
    const before = await fixture.query('SELECT count(*) FROM audit_work.subjects');
    for (const sql of [
      'DELETE FROM audit_work.subjects',
      "UPDATE audit_work.subjects SET wrapped_key = ''",
      'TRUNCATE audit_work.subjects',
      'DELETE FROM audit.erasures',
      'INSERT INTO audit.erasures VALUES (gen_random_uuid(), 1, now())',
    ])
      await expect(asWriter(sql)).rejects.toMatchObject({ code: '42501' });
    expect(await fixture.query('SELECT count(*) FROM audit_work.subjects')).toEqual(before);
    await expect(
      asWriter('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT audit.erase_subject(gen_random_uuid())'),
    ).rejects.toMatchObject({ code: '25000' });
  });
});

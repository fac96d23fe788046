import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { eventHeaders, newId } from '#libs/contracts';
import { startPostgres, waitFor, withClient, type TestPostgres } from '#libs/testing';
import { AuditFixture } from '../testing/audit.fixture.js';

describe('what the audit service takes away', () => {
  let postgres: TestPostgres;
  let fixture: AuditFixture;

  beforeAll(async () => {
    postgres = await startPostgres();
    fixture = await AuditFixture.create(await postgres.createDatabase(), {
      ...{ upkeepMs: 100, quarantineDays: 30, producersKeptDays: 60 },
    });
    await fixture.start();
  });
  afterAll(async () => {
    await fixture.stop();
    await postgres.stop();
  });

  /** A message that is put aside, and its digest. */
  async function putAside(body: string, actor = 'user:ada'): Promise<string> {
    const message = await fixture.signed(fixture.event({ actor }));
    const before = new Set((await rows()).map(({ digest }) => digest));
    await fixture.messaging.publishDurable({ ...message, messageId: newId(), body });
    return await waitFor(
      async () => (await rows()).find(({ digest }) => !before.has(digest))?.digest ?? null,
      {
        what: 'the message to be put aside',
      },
    );
  }
  const rows = async () =>
    await fixture.query<{ digest: string; body: string; headers: Record<string, string>; code: string }>(
      `SELECT encode(digest, 'hex') AS digest, encode(body, 'escape') AS body, headers, code FROM audit.quarantine`,
    );
  const age = async (digest: string, days: number) =>
    await fixture.query(
      `UPDATE audit.quarantine SET recorded_at = now() - make_interval(days => $2) WHERE digest = decode($1, 'hex')`,
      [digest, days],
    );
  const looks = async () => {
    // A row that the next look takes away says that it was made.
    const digest = await putAside(newId(), 'user:nobody');
    await age(digest, 3000);
    await waitFor(async () => (await rows()).every((row) => row.digest !== digest), { what: 'a look' });
  };

  describe('of the quarantine', () => {
    beforeEach(async () => {
      await fixture.query('DELETE FROM audit.quarantine');
    });

    it('are messages of a certain age, told by their number', async () => {
      const [young, old] = [await putAside('young'), await putAside('old')];
      await age(young, 29);
      await age(old, 31);
      await waitFor(async () => (await rows()).length === 1, { what: 'the old one to go' });
      expect((await rows())[0]?.digest).toBe(young);
      await waitFor(
        async () =>
          (
            await fixture.query(
              "SELECT 1 FROM audit.events WHERE type = 'tradefleet.audit.quarantine-pruned' AND data ->> 'messages' = '1'",
            )
          ).length > 0,
        { what: 'the event' },
      );
    });

    it('are none that a hold is over, until it is released', async () => {
      const old = await putAside('held');
      const month = new Date(Date.now() - 31 * 86_400_000).toISOString().slice(0, 7);
      const hold = await fixture.messaging.call('holds.place', { reason: 'case 1', from: month, to: month });
      await age(old, 31);
      await looks();
      expect((await rows()).map(({ digest }) => digest)).toEqual([old]);
      await fixture.messaging.call('holds.release', { id: hold.id, reason: 'over' });
      await waitFor(async () => (await rows()).length === 0, { what: 'it to go' });
    });

    it('is how long they are kept not for the writer to say', async () => {
      const asWriter = async (sql: string) =>
        await withClient(fixture.config.databaseUrl, async (client) => {
          await client.query(sql);
        });
      for (const sql of [
        'DELETE FROM audit.quarantine',
        'UPDATE audit.quarantine_retention SET days = 1',
        'SELECT body FROM audit.quarantine',
      ])
        await expect(asWriter(sql)).rejects.toMatchObject({ code: '42501' });
      const redact = `SELECT audit.redact_quarantine('${newId()}', 'user:ada')`;
      await expect(asWriter(redact)).rejects.toMatchObject({ code: '22023' });
    });

    it('is, when somebody is erased, what may name them, and nothing else', async () => {
      const name = `user:grace-${newId()}`;
      await fixture.publish(fixture.event({ actor: name }));
      await waitFor(
        async () => (await fixture.messaging.call('events.query', { actor: name })).events.length === 1,
      );
      const inHeader = await putAside('no json', name);
      const inBody = await putAside(JSON.stringify({ by: name }), 'user:other');
      const byNumbers = await putAside('{"by":"\\u0075ser:x"}', 'user:other');
      const other = await putAside('{"by":"user:other"}', 'user:other');
      await fixture.messaging.call('subjects.erase', { name, reason: 'asked for it' });
      const after = new Map((await rows()).map((row) => [row.digest, row]));
      for (const digest of [inHeader, inBody, byNumbers])
        expect(after.get(digest)).toMatchObject({ body: '', headers: {}, code: 'bad_data' });
      expect(after.get(other)).toMatchObject({
        body: '{"by":"user:other"}',
        headers: { [eventHeaders.source]: '/scheduler' },
      });
      const everything = await fixture.query<{ row: string }>(
        'SELECT quarantine::text AS row FROM audit.quarantine',
      );
      expect(everything.some(({ row }) => row.includes(name))).toBe(false);
    });
  });

  describe('of producers', () => {
    const known = async () =>
      (await fixture.query<{ incarnation: string }>('SELECT incarnation FROM audit_work.producers')).map(
        (row) => row.incarnation,
      );
    /** Incarnations of the scheduler, the oldest first; they sort as they are made. */
    const incarnations = Array.from({ length: 4 }, (_, n) => newId(Date.now() - (10 - n) * 1000));
    const [finished = '', holed = '', asking = '', newest = ''] = incarnations;

    it('are incarnations that are settled and over, and are not the newest of their source', async () => {
      const events = incarnations.flatMap((incarnation) =>
        [1, 2].map((sequence) => fixture.event({ incarnation, sequence })),
      );
      const published = events.filter(({ incarnation, sequence }) => incarnation !== holed || sequence === 2);
      await fixture.publish(...published);
      await waitFor(
        async () => {
          const there = await known();
          return incarnations.every((it) => there.includes(it));
        },
        { what: 'all of them to be known' },
      );
      await waitFor(async () => (await fixture.unsettled()) === 0, { what: 'all of it to be recorded' });
      await fixture.query(
        `UPDATE audit_work.producers SET changed_at = now() - interval '61 days',
                asked_at = now() - CASE WHEN incarnation = $1 THEN interval '0' ELSE interval '61 days' END
          WHERE source = '/scheduler'`,
        [asking],
      );
      await waitFor(async () => !(await known()).includes(finished), { what: 'the finished one to go' });
      await looks();
      expect(await known()).toEqual(expect.arrayContaining([holed, asking, newest]));

      // What comes of it all the same, months later, is known by its id.
      const late = published.filter(({ incarnation }) => incarnation === finished);
      await fixture.publish(...late);
      await waitFor(async () => (await known()).includes(finished), { what: 'it to be known again' });
      for (const { id } of late)
        expect(await fixture.query('SELECT 1 FROM audit.events WHERE id = $1', [id])).toHaveLength(1);
    });
  });
});

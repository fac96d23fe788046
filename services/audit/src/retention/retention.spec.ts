import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { readFile, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { archiveFile, checkArchive } from '#libs/archive';
import { apiSubject, newId, recordLine, type RetentionRun } from '#libs/contracts';
import { exportLog, readEvidence, readExport, verifyExport } from '#libs/evidence';
import { startPostgres, waitFor, withClient, type TestPostgres } from '#libs/testing';
import { leafHash } from '#libs/tlog';
import { LogKey } from '../log/log-key.js';
import { AuditFixture } from '../testing/audit.fixture.js';

const day_ms = 86_400_000;
/** The month that was so many days ago, and an instant in it. */
function past(days: number) {
  const time = new Date(Date.now() - days * day_ms).toISOString();
  return { time, month: time.slice(0, 7) };
}
const [older, newer, present] = [past(150), past(90), past(0)];

describe('retention', () => {
  let postgres: TestPostgres;
  let fixture: AuditFixture;

  beforeAll(async () => {
    postgres = await startPostgres();
    fixture = await AuditFixture.create(await postgres.createDatabase(), {
      retentionMonths: { trading: 1, audit: 60, error: 24, session: 12 },
      ...{ checkpointMs: 200, checkpointEvents: 100 },
    });
    await fixture.start();
    // Of two months that are due and one that is not, mixed; enough that the tree closes over the old ones.
    const events = Array.from({ length: 600 }, (_, n) => {
      const { time } = n < 300 ? (n % 3 === 0 ? newer : older) : present;
      return fixture.event({ time, actor: n % 5 === 0 ? 'user:ada' : 'host:spec' });
    });
    // The old ones first, whatever is delivered twice: the last part of the tree stays open.
    for (const upTo of [300, events.length]) {
      await fixture.publish(...events.slice(upTo - 300, upTo));
      await waitFor(async () => (await fixture.recordedIds()).length === upTo, {
        ...{ what: `${upTo} of them to be recorded`, timeoutMs: 90_000 },
      });
    }
    await waitFor(async () => (await stateOf(older.month)) === 'due', {
      ...{ what: 'a checkpoint over all of it', timeoutMs: 90_000 },
    });
  }, 300_000);
  afterAll(async () => {
    await fixture.stop();
    await postgres.stop();
  });

  const api = () => fixture.messaging;
  const folder = () => fixture.config.archiveDir ?? '';
  const firstDay = (month: string) => `${month}-01`;
  const table = (month: string) => `audit.events_trading_${month.replace('-', '_')}`;
  const isThere = async (month: string) =>
    (await fixture.query<{ name: string | null }>('SELECT to_regclass($1) AS name', [table(month)]))[0]
      ?.name !== null;

  async function stateOf(month: string) {
    const { partitions } = await api().call('retention.plan', { class: 'trading' });
    return partitions.find((it) => it.month === month)?.state;
  }

  async function run(): Promise<RetentionRun> {
    const { id } = await api().call('retention.run', {});
    return await waitFor(async () => {
      const now = await api().call('retention.get', { id });
      return now.state === 'running' ? null : now;
    });
  }

  const asKeeper = async (sql: string, values: unknown[] = []) =>
    await withClient(
      fixture.config.keeperDatabaseUrl ?? '',
      async (client) => (await client.query<Record<string, unknown>>(sql, values)).rows,
    );

  /** Exports the log and verifies it, with the witness, as somebody does who has neither fleet nor database. */
  async function exported(range: { from?: number; to?: number } = {}) {
    const path = join(fixture.folder, `export-${newId()}`);
    const pieces: string[] = [];
    for await (const piece of exportLog(fixture.messaging, { exportedAt: new Date(), ...range }))
      pieces.push(piece.text);
    await writeFile(path, pieces.join(''));
    const verdict = await verifyExport({
      open: () => readExport(path),
      evidence: async (origin) => await readEvidence(fixture.config.witnessDir, origin),
      key: null,
    });
    return { verdict, text: pieces.join('') };
  }

  it('shows what is due, and touches nothing', async () => {
    const { partitions, months, obstacle } = await api().call('retention.plan', { due: true });
    expect(obstacle).toBeNull();
    expect(months).toEqual({ trading: 1, audit: 60, error: 24, session: 12 });
    expect(partitions.filter(({ records }) => records > 0)).toMatchObject([
      { class: 'trading', month: older.month, records: 200, state: 'due', holds: [] },
      { class: 'trading', month: newer.month, records: 100, state: 'due', holds: [] },
    ]);
    expect(await stateOf(present.month)).toBe('kept');
    expect(await isThere(older.month)).toBe(true);
  });

  describe('as the keeper', () => {
    it.each([
      'SELECT data FROM audit.events',
      'SELECT id FROM audit.events',
      'DELETE FROM audit.events',
      'SELECT * FROM audit_work.subjects',
      'SELECT body FROM audit.quarantine',
      "INSERT INTO audit.archives SELECT gen_random_uuid(), 'trading', now(), 1, 1, 1, 1, 'x', 1, sha256('x'), 1, now()",
      'INSERT INTO audit.hold_releases SELECT id, $$x$$, now() FROM audit.holds',
      'DELETE FROM audit.holds',
      'UPDATE audit.retention_months SET months = 1',
      'SELECT audit.erase_subject(gen_random_uuid())',
      "SELECT audit.partition_facts('audit.events')",
      'DROP TABLE audit.events_trading',
      'SET ROLE postgres',
    ])('refuses %s', async (sql) => {
      await expect(asKeeper(sql)).rejects.toMatchObject({ code: '42501' });
    });

    const drop = async (month: string, archive: string | null = null, of = 'trading') =>
      await asKeeper('SELECT audit.drop_partition($1, $2, $3::date, $4)', [
        newId(),
        of,
        firstDay(month),
        archive,
      ]);

    it('neither reads nor drops what is not due', async () => {
      await expect(
        asKeeper('SELECT * FROM audit.read_due($1, $2::date, -1, 10)', ['trading', firstDay(present.month)]),
      ).rejects.toMatchObject({ code: 'TF001' });
      await expect(drop(present.month)).rejects.toMatchObject({ code: 'TF001' });
      await expect(drop(older.month, null, 'audit')).rejects.toMatchObject({ code: 'TF001' });
    });

    it('does not drop what is not archived, or archived as something else', async () => {
      await expect(drop(older.month)).rejects.toMatchObject({ code: 'TF003' });
      await expect(drop(older.month, newId())).rejects.toMatchObject({ code: 'TF003' });
      const record = async (records: number, sum: number) =>
        await asKeeper(
          'SELECT audit.record_archive($1, $2, $3::date, $4, 0, 1, $5, $6, 1, sha256($7), 600)',
          [...[newId(), 'trading', firstDay(older.month), records, sum, newId(), Buffer.from('x')]],
        );
      await expect(record(2, 1)).rejects.toMatchObject({ code: 'TF003' });
      await expect(record(200, 19900)).rejects.toMatchObject({ code: 'TF003' });
    });

    it('does not drop what the log does not tell of, whatever it says of an archive', async () => {
      const [facts] = await fixture.query<Record<'records' | 'first' | 'last' | 'sum', string>>(
        `SELECT records, first_position AS first, last_position AS last, position_sum AS sum
           FROM audit.partition_facts($1)`,
        [table(older.month)],
      );
      const size = (await api().call('log.checkpoint', {})).checkpoint?.size;
      const lie = newId();
      const note = async (file: string) =>
        await asKeeper(
          'SELECT audit.record_archive($1, $2, $3::date, $4, $5, $6, $7, $8, 1, sha256($9), $10)',
          [
            ...[lie, 'trading', firstDay(older.month), facts?.records, facts?.first, facts?.last, facts?.sum],
            ...[file, Buffer.from('x'), size],
          ],
        );
      const name = archiveFile({ class: 'trading', month: older.month, id: lie });
      // Nor does it make the service read what is no archive.
      for (const elsewhere of ['/dev/zero', `../${name}`, `${name}/../../x`, name.replace(lie, newId())])
        await expect(note(elsewhere)).rejects.toMatchObject({ code: '23514' });
      await note(name);
      await expect(drop(older.month, lie)).rejects.toMatchObject({ code: 'TF005' });
      expect(await isThere(older.month)).toBe(true);
    });

    it('is not fooled by names, pages and old snapshots', async () => {
      await expect(
        drop(older.month, null, "trading_2026_01'; DROP TABLE audit.tiles; --"),
      ).rejects.toMatchObject({ code: '22023' });
      await expect(
        asKeeper('SELECT * FROM audit.read_due($1, $2::date, -1, 1000000)', [
          'trading',
          firstDay(older.month),
        ]),
      ).rejects.toMatchObject({ code: '22023' });
      await expect(
        asKeeper(
          `BEGIN ISOLATION LEVEL REPEATABLE READ;
           SELECT audit.drop_partition(gen_random_uuid(), 'trading', '${firstDay(older.month)}', NULL)`,
        ),
      ).rejects.toMatchObject({ code: '25000' });
      expect(await isThere(older.month)).toBe(true);
    });
  });

  it('leaves alone what is held, whoever asks', async () => {
    const hold = await api().call('holds.place', { reason: 'case 1', class: 'trading', from: older.month });
    expect(await stateOf(older.month)).toBe('held');
    await expect(
      asKeeper('SELECT * FROM audit.read_due($1, $2::date, -1, 10)', ['trading', firstDay(older.month)]),
    ).rejects.toMatchObject({ code: 'TF002', detail: hold.id });
    await expect(
      api().call('subjects.erase', { name: 'user:ada', reason: 'she asked' }),
    ).rejects.toMatchObject({ code: 'legal_hold' });
    expect(await run()).toMatchObject({
      state: 'succeeded',
      steps: expect.not.arrayContaining([expect.objectContaining({ class: 'trading', month: older.month })]),
    });
    expect(await isThere(older.month)).toBe(true);
    const released = await api().call('holds.release', { id: hold.id, reason: 'closed' });
    expect(released).toMatchObject({ id: hold.id, releaseReason: 'closed' });
    await expect(api().call('holds.release', { id: hold.id, reason: 'again' })).rejects.toMatchObject({
      code: 'invalid_transition',
    });
    expect((await api().call('holds.list', {})).holds).toEqual([]);
    expect((await api().call('holds.list', { released: true })).holds).toEqual([released]);
  });

  it('leaves alone what is held for the sake of one person', async () => {
    const [ada] = await fixture.query<{ subject_id: string }>(
      "SELECT DISTINCT subject_id FROM audit.events WHERE subject_id IS NOT NULL AND retention = 'trading'",
    );
    const hold = await api().call('holds.place', { reason: 'case 2', subject: ada?.subject_id ?? '' });
    expect(await stateOf(older.month)).toBe('held');
    await expect(
      api().call('subjects.erase', { name: 'user:ada', reason: 'she asked' }),
    ).rejects.toMatchObject({ code: 'legal_hold' });
    await api().call('holds.release', { id: hold.id, reason: 'closed' });
    await expect(api().call('holds.place', { reason: 'case 3', subject: newId() })).rejects.toMatchObject({
      code: 'subject_not_found',
    });
  });

  describe('a run', () => {
    let lines: Map<number, string>;
    let done: RetentionRun;

    beforeAll(async () => {
      lines = await linesOf(older.month);
      done = await run();
    });

    async function linesOf(month: string): Promise<Map<number, string>> {
      const all = new Map<number, string>();
      let from: number | null = 0;
      while (from !== null) {
        const page: Awaited<ReturnType<typeof logRecords>> = await logRecords(from);
        for (const { position, line } of page.entries)
          if (
            line !== null &&
            (JSON.parse(line) as { time: string; retention: string }).time.startsWith(month)
          )
            if ((JSON.parse(line) as { retention: string }).retention === 'trading') all.set(position, line);
        from = page.next;
      }
      return all;
    }
    const logRecords = async (from: number) => await api().call('log.records', { from, limit: 1000 });

    const theArchive = async () => {
      const { archives } = await api().call('archives.list', { class: 'trading' });
      const found = archives.find(({ month }) => month === older.month);
      if (found === undefined) throw new Error('there is no archive');
      return found;
    };

    it('archives and drops all that is due, and only that', async () => {
      expect(done).toMatchObject({ state: 'succeeded', detail: null });
      expect(done.steps.filter(({ records }) => records > 0).map(({ month, did }) => [month, did])).toEqual([
        ...[
          [older.month, 'archived'],
          [older.month, 'dropped'],
        ],
        ...[
          [newer.month, 'archived'],
          [newer.month, 'dropped'],
        ],
      ]);
      expect(await isThere(older.month)).toBe(false);
      expect(await isThere(newer.month)).toBe(false);
      expect(await isThere(present.month)).toBe(true);
      expect(await fixture.query("SELECT count(*) FROM audit.events WHERE source = '/scheduler'")).toEqual([
        { count: '300' },
      ]);
    });

    it('tells each in the log', async () => {
      const archive = await theArchive();
      const told = async (type: string) => (await api().call('events.query', { type, limit: 500 })).events;
      await waitFor(async () => {
        const dropped = await told('tradefleet.audit.partition-dropped');
        return dropped.some(({ data }) => data['archive'] === archive.id);
      });
      const archived = await told('tradefleet.audit.partition-archived');
      expect(archived.filter(({ entityId }) => entityId === archive.id)).toMatchObject([
        { data: { records: 200, sha256: archive.sha256 }, actor: 'nats:anonymous' },
      ]);
    });

    it('leaves files that hold and prove exactly the records', async () => {
      const archive = await theArchive();
      const key = await LogKey.fromFile(fixture.config.logKeyPath, fixture.config.logOrigin);
      const found = new Map<number, string>();
      const checked = await checkArchive(join(folder(), archive.file), {
        openNote: (note) => key.open(note),
        onRecord: (position, record) => found.set(position, recordLine(record)),
      });
      expect(found).toEqual(lines);
      expect(found.size).toBe(200);
      expect(checked).toMatchObject({ first: archive.first, last: archive.last });
      expect((await stat(join(folder(), archive.file))).size).toBe(archive.bytes);
      expect((await readdir(folder())).filter((name) => name.endsWith('.part'))).toEqual([]);
      expect([...lines.values()].join()).not.toContain('user:ada');
    });

    it.each<[string, (text: string[]) => string[]]>([
      [
        'a changed record',
        (text) => text.map((line) => line.replace('"actor":"host:spec"', '"actor":"host:fake"')),
      ],
      [
        'a removed record',
        (text) => text.filter((_, n) => n !== text.findIndex((it) => it.startsWith('{"position"'))),
      ],
      ['two that changed places', (text) => swap(text)],
      ['an early end', (text) => text.slice(0, -1)],
      [
        'another month',
        (text) => text.map((line) => line.replace(`"month":"${older.month}"`, '"month":"2001-01"')),
      ],
      [
        'a checkpoint of somebody else',
        (text) => text.map((line) => line.replace(/(— [^ ]+ )[^\\]{8}/, '$1AAAAAAAA')),
      ],
      ['something behind the end', (text) => [...text, '{"end":true}']],
    ])('shows %s', async (_, change) => {
      const archive = await theArchive();
      const key = await LogKey.fromFile(fixture.config.logKeyPath, fixture.config.logOrigin);
      const text = gunzipSync(await readFile(join(folder(), archive.file)))
        .toString('utf8')
        .trimEnd()
        .split('\n');
      const changed = change(text);
      expect(changed).not.toEqual(text);
      const path = join(fixture.folder, `changed-${newId()}.gz`);
      await writeFile(path, gzipSync(changed.map((line) => `${line}\n`).join('')));
      await expect(checkArchive(path, { openNote: (note) => key.open(note) })).rejects.toMatchObject({
        name: 'ArchiveInvalid',
      });
    });

    it('leaves the log provable, with the archived records’ hashes in their places', async () => {
      const [position, line] = [...lines][0] ?? [0, ''];
      const proof = await api().call('log.inclusion', { position });
      expect(proof.leaf).toBe(leafHash(line).toString('base64'));
      const before = await api().call('log.checkpoint', {});
      await fixture.publish(fixture.event());
      const after = await waitFor(async () => {
        const now = await api().call('log.checkpoint', {});
        return (now.checkpoint?.size ?? 0) > (before.checkpoint?.size ?? 0) ? now : null;
      });
      expect(after.diverged).toBeNull();
    });

    it('leaves an export that verifies against the witness', async () => {
      const { verdict, text } = await exported();
      expect(verdict).toMatchObject({ isAsSeen: true, archived: 300, against: 'leaves', finding: null });
      // The log itself says which archives have them.
      const archive = await theArchive();
      expect(verdict.archives).toHaveLength(2);
      expect(verdict.archives).toContainEqual({
        ...{ archive: archive.id, class: 'trading', month: older.month, records: 200 },
        ...{ first: archive.first, last: archive.last, sha256: archive.sha256 },
        ...{ checkpointSize: archive.checkpointSize, toldAt: expect.any(Number) },
      });
      expect(Math.min(...verdict.archives.map(({ toldAt }) => toldAt))).toBeGreaterThanOrEqual(600);
      // What is archived shows with its archive; nothing is said to be missing.
      expect(text).not.toContain('{"missing"');
    });

    it('finds nothing to do the next time', async () => {
      expect((await run()).steps.filter(({ records }) => records > 0)).toEqual([]);
    });

    it('takes what comes late into a dropped month, and archives that as well', async () => {
      const late = fixture.event({ time: newer.time });
      await fixture.publish(late, ...Array.from({ length: 300 }, () => fixture.event()));
      await waitFor(async () => (await fixture.recordedIds()).includes(late.id));
      await waitFor(async () => (await stateOf(newer.month)) === 'due');
      const { archives } = await api().call('archives.list', { class: 'trading' });
      expect(await run()).toMatchObject({ state: 'succeeded' });
      const now = await api().call('archives.list', { class: 'trading', limit: 1 });
      expect(now.archives).toMatchObject([{ month: newer.month, records: 1 }]);
      expect(archives.map(({ id }) => id)).not.toContain(now.archives[0]?.id);
      expect(now.next).not.toBeNull();
    });
  });

  it('goes on where it was interrupted, and archives again when the file is gone', async () => {
    const late = fixture.event({ time: older.time });
    await fixture.publish(late, ...Array.from({ length: 300 }, () => fixture.event()));
    await waitFor(async () => (await fixture.recordedIds()).includes(late.id));
    await waitFor(async () => (await stateOf(older.month)) === 'due');
    const newest = async () => {
      const [archive] = (await api().call('archives.list', { limit: 1 })).archives;
      if (archive === undefined) throw new Error('there is no archive');
      return archive;
    };
    // Somebody reads the partition for as long as the run waits for it.
    await withClient(fixture.ownerUrl, async (client) => {
      await client.query(`BEGIN; LOCK TABLE ${table(older.month)} IN ACCESS SHARE MODE`);
      const failed = await run();
      expect(failed).toMatchObject({
        state: 'failed',
        steps: [{ did: 'archived' }, { did: 'failed', month: older.month, records: 1 }],
      });
      await client.query('ROLLBACK');
    });
    expect(await stateOf(older.month)).toBe('archived');
    const first = await newest();
    expect(first.droppedAt).toBeNull();
    await rm(join(folder(), first.file));
    expect((await run()).steps).toMatchObject([{ did: 'archived' }, { did: 'dropped' }]);
    const second = await newest();
    expect(second.id).not.toBe(first.id);
    expect(second.droppedAt).not.toBeNull();
    expect(await isThere(older.month)).toBe(false);
    await waitFor(async () => {
      const type = 'tradefleet.audit.retention-failed';
      return (await api().call('events.query', { type })).events.length === 1;
    });
  });

  describe('what the owner of the database says of archives', () => {
    const [first, last] = [300, 309];
    const forged = newId();
    const file = archiveFile({ class: 'trading', month: present.month, id: forged });
    const claim = `INSERT INTO audit.archived_positions VALUES (0, $1, '{[${first},${last}]}')`;

    beforeAll(async () => {
      // Records of a month that nobody had archived.
      await fixture.query('DELETE FROM audit.events WHERE position BETWEEN $1 AND $2', [first, last]);
    });

    const removed = { what: 'removed', position: first, id: null };

    it('excuses nothing: an archive of which the log does not tell', async () => {
      await fixture.query(
        `INSERT INTO audit.archives SELECT $1, 'trading', $2::date, 10, $3, $4, 3045, $5, 1, sha256('x'), 600, now()`,
        [...[forged, firstDay(present.month), first, last], file],
      );
      await fixture.query(claim, [forged]);
      const { verdict, text } = await exported();
      // In the database all is well.
      expect(text).not.toContain('{"missing"');
      expect(verdict.finding).toMatchObject(removed);
      expect(verdict.finding?.detail).toContain(forged);
      // Of a part of the log just as well.
      expect((await exported({ from: 290, to: 320 })).verdict.finding).toMatchObject(removed);
      expect((await exported({ from: 0, to: first })).verdict.isAsSeen).toBe(true);
    });

    it('excuses nothing: a record that tells of another archive', async () => {
      await fixture.query(
        `INSERT INTO audit.archive_records
         SELECT $1, position, line FROM audit.archive_records ORDER BY position LIMIT 1`,
        [forged],
      );
      expect((await exported()).verdict.finding).toMatchObject(removed);
      const [copy] = await fixture.query<{ line: string }>(
        'SELECT line FROM audit.archive_records WHERE archive = $1',
        [forged],
      );
      const changed = copy?.line.replace(/(archive\\":\\")[0-9a-f-]{36}/, `$1${forged}`);
      expect(changed).toContain(forged);
      await fixture.query('UPDATE audit.archive_records SET line = $2 WHERE archive = $1', [forged, changed]);
      expect((await exported()).verdict.finding).toMatchObject(removed);
    });

    it('excuses nothing: more than it has, of an archive that was told', async () => {
      const archives = await fixture.query<{ archive: string }>(
        'SELECT archive FROM audit.archived_positions WHERE archive <> $1 LIMIT 1',
        [forged],
      );
      const [told] = archives;
      await fixture.query('DELETE FROM audit.archived_positions WHERE archive = $1', [forged]);
      await fixture.query(
        `UPDATE audit.archived_positions SET positions = positions + '{[${first},${last}]}' WHERE archive = $1`,
        [told?.archive],
      );
      const { verdict } = await exported();
      expect(verdict.finding).toMatchObject(removed);
      expect(verdict.finding?.detail).toContain(told?.archive);
    });

    it('is missed when it is gone: what was archived counts as removed', async () => {
      await fixture.query('DELETE FROM audit.archive_records');
      expect((await exported()).verdict.finding).toMatchObject({ what: 'removed', position: 0 });
    });
  });

  it('names its files so that they sort', () => {
    expect(archiveFile({ class: 'trading', month: '2026-01', id: 'x' })).toBe('trading-2026-01-x.ndjson.gz');
  });

  it('is refused, with a remedy, where it is not set up', async () => {
    const other = await AuditFixture.create(await postgres.createDatabase(), {
      keeperDatabaseUrl: undefined,
    });
    try {
      await other.start();
      const { obstacle } = await other.messaging.call('retention.plan', {});
      expect(obstacle).toContain('TRADEFLEET_KEEPER_DATABASE_URL');
      await expect(other.messaging.call('retention.run', {})).rejects.toMatchObject({
        code: 'retention_not_set_up',
        detail: obstacle,
      });
      await expect(
        other.messaging.request(apiSubject('holds.place'), { reason: 'x', from: '2026-02', to: '2026-01' }),
      ).rejects.toMatchObject({ code: 'invalid_request' });
    } finally {
      await other.stop();
    }
  });
});

function swap(text: readonly string[]): string[] {
  const [one, other] = text.flatMap((line, n) => (line.startsWith('{"position"') ? n : []));
  const changed = [...text];
  if (one !== undefined && other !== undefined)
    [changed[one], changed[other]] = [changed[other] ?? '', changed[one] ?? ''];
  return changed;
}

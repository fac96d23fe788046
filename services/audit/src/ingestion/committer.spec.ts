import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { SystemClock } from '#libs/clock';
import { newId, type LogRecord } from '#libs/contracts';
import { createDataSource, Outbox } from '#libs/persistence';
import { createLogger } from '#libs/telemetry';
import { startPostgres, uniqueName, withClient, type TestPostgres } from '#libs/testing';
import type { DataSource, EntityManager } from 'typeorm';
import { prepareDatabase, writerOptions } from '../database/prepare-database.js';
import { workSchema } from '../database/roles.js';
import { QuarantineReports } from '../quarantine/quarantine.reports.js';
import { checkLog } from '../testing/log.check.js';
import { Committer } from './committer.js';
import { LogRepository, type Added, type Addition } from './log.repository.js';
import { Partitions } from './partitions.js';
import { quarantined, toLeaf, type Leaf } from './recorded-event.js';

const incarnation = newId();
const logger = createLogger({ service: 'spec', level: 'silent' });

describe('Committer', () => {
  let postgres: TestPostgres;
  let ownerUrl: string;
  let config: Parameters<typeof prepareDatabase>[0];
  let sequence: number;
  const opened: DataSource[] = [];

  beforeAll(async () => (postgres = await startPostgres()));
  afterAll(async () => await postgres.stop());
  beforeEach(async () => {
    sequence = 0;
    ownerUrl = await postgres.createDatabase();
    config = {
      databaseOwnerUrl: ownerUrl,
      databaseUrl: roleUrl(ownerUrl, 'writer'),
      readerDatabaseUrl: roleUrl(ownerUrl, 'reader'),
      databasePoolMax: 4,
      retentionMonths: { trading: 84, audit: 60, error: 24, session: 12 },
    } as Parameters<typeof prepareDatabase>[0];
    await prepareDatabase(config, logger);
  });
  afterEach(async () => {
    for (const dataSource of opened.splice(0)) await dataSource.destroy();
    for (const url of [config.databaseUrl, config.readerDatabaseUrl]) {
      const role = new URL(url).username;
      await query(`DROP OWNED BY ${role}`);
      await query(`DROP ROLE ${role}`);
    }
  });

  const query = async <T extends object>(sql: string): Promise<T[]> =>
    await withClient(ownerUrl, async (client) => (await client.query<T>(sql)).rows);

  /** As another process would have it. */
  async function aCommitter(): Promise<Committer> {
    return (await aCommitterOf(LogRepository)).committer;
  }

  async function aCommitterOf<R extends LogRepository>(Repository: new (dataSource: DataSource) => R) {
    const dataSource = await createDataSource(writerOptions(config)).initialize();
    opened.push(dataSource);
    const log = new Repository(dataSource);
    await log.ensureHead('spec');
    const clock = new SystemClock();
    const reports = new QuarantineReports(clock, logger);
    const outbox = new Outbox(workSchema, clock);
    return { log, committer: new Committer(log, new Partitions(log, clock), reports, outbox, clock) };
  }

  function aLeaf(fields: Partial<LogRecord> = {}): Leaf {
    const time = fields.time ?? new Date().toISOString();
    const record: LogRecord = {
      ...{ v: 1, id: newId(Date.parse(time)), source: '/agent/spec', incarnation, sequence: (sequence += 1) },
      ...{ type: 'tradefleet.allocation.running', subject: `allocation/${newId()}`, severity: 'info' },
      ...{ retention: 'trading', actor: 'host:spec', subjectId: null, time, traceparent: null },
      ...{
        recordedAt: new Date().toISOString(),
        signature: 'head..tail',
        data: '{"detail":"all \\u0000 well"}',
      },
      ...fields,
    };
    return toLeaf({ message: { streamSeq: 1, subject: 's', headers: {}, bytes: Buffer.from('{}') }, record });
  }
  const leaves = (count: number) => Array.from({ length: count }, () => aLeaf());
  /** As it comes when it is delivered again. */
  const again = (leaf: Leaf, fields: Partial<LogRecord> = {}): Leaf =>
    toLeaf({ ...leaf, record: { ...leaf.record, recordedAt: '2031-01-01T00:00:00.000Z', ...fields } });
  const received = async () =>
    await query<{ received: string }>('SELECT received::text AS received FROM audit_work.producers');
  const idsOf = (given: readonly Leaf[]) => given.map(({ record }) => record.id);

  it('gives positions in the order of the batch and builds the tree over batches of any size', async () => {
    const committer = await aCommitter();
    const all = leaves(1100);
    for (const [from, to] of [
      [0, 1],
      [1, 1],
      [1, 256],
      [256, 300],
      [300, 1100],
    ] as const)
      await committer.commit({ leaves: all.slice(from, to), quarantined: [] });
    const log = await checkLog(query);
    expect(log.ids).toEqual(idsOf(all));
    expect(await received()).toEqual([{ received: '{[1,1101)}' }]);
    expect(await query('SELECT level, index FROM audit.tiles ORDER BY level, index')).toHaveLength(4);
  });

  it('keeps every text as it was', async () => {
    const texts = [
      '{"a": "\\"\\\\ {},"}',
      '{\n\t"a":\r\n1}',
      '{"ü":"\u{1f600}\u2028"}',
      '"NULL"',
      'null',
      '{"a":"\x7f"}',
    ];
    const all = texts.map((data) => aLeaf({ data, actor: `user:${data.replaceAll(/\s/g, '')}` }));
    all.push(aLeaf({ subject: 'allocation/NULL', signature: null, traceparent: null }));
    await (await aCommitter()).commit({ leaves: all, quarantined: [] });
    expect((await checkLog(query)).ids).toEqual(idsOf(all));
  });

  it('goes on where the log ended, in a process that knows nothing', async () => {
    await (await aCommitter()).commit({ leaves: leaves(700), quarantined: [] });
    const next = await aCommitter();
    await next.commit({ leaves: leaves(900), quarantined: [] });
    expect((await checkLog(query)).size).toBe(1600);
  });

  it('adds what is new of a batch and counts what is known, delivered again or twice in it', async () => {
    const committer = await aCommitter();
    const first = leaves(300);
    await committer.commit({ leaves: first, quarantined: [] });
    const fresh = leaves(40);
    const mixed = [...fresh.slice(0, 20), ...first.slice(100, 150).map((leaf) => again(leaf)), ...fresh];
    const committed = await committer.commit({ leaves: mixed, quarantined: [] });
    expect(committed).toMatchObject({ added: 40, known: 70, quarantined: [] });
    expect((await checkLog(query)).ids).toEqual(idsOf([...first, ...fresh]));
  });

  it('knows an event that was signed with another key meanwhile, and one whose subject was forgotten', async () => {
    const committer = await aCommitter();
    const signed = aLeaf();
    const personal = aLeaf({ subjectId: newId(), actor: 'subject:one' });
    await committer.commit({ leaves: [signed, personal], quarantined: [] });
    const { added, known } = await committer.commit({
      leaves: [
        again(signed, { signature: 'other..key' }),
        again(personal, { subjectId: newId(), actor: 'subject:two' }),
      ],
      quarantined: [],
    });
    expect({ added, known }).toEqual({ added: 0, known: 2 });
  });

  it('puts another event aside that has the id of a recorded one, or of one in its batch', async () => {
    const committer = await aCommitter();
    const [kept, neighbour] = [aLeaf(), aLeaf()];
    await committer.commit({ leaves: [kept], quarantined: [] });
    const changed = aLeaf({ ...kept.record, data: '{"detail":"another"}', sequence: 50 });
    const twice = aLeaf({ ...neighbour.record, actor: 'host:other' });
    const committed = await committer.commit({ leaves: [changed, neighbour, twice], quarantined: [] });
    expect(committed).toMatchObject({ added: 1, known: 0 });
    expect(committed.report.messages).toHaveLength(1);
    expect(committed.quarantined.map(({ code }) => code)).toEqual(['id_conflict', 'id_conflict']);
    expect(idsOf([kept, neighbour])).toEqual((await checkLog(query)).ids);
    // It was its producer's, so that its number is settled.
    expect(await received()).toEqual([{ received: '{[1,3),[50,51)}' }]);
  });

  it('keeps positions without gaps when several processes add at once, with the same events among them', async () => {
    const committers = await Promise.all([aCommitter(), aCommitter(), aCommitter()]);
    const all = leaves(1200);
    const shares = committers.map((_, index) => all.filter((__, n) => n % 3 !== index));
    const counts = await Promise.all(
      committers.map(async (committer, index) => {
        let added = 0;
        for (let from = 0; from < 800; from += 50) {
          const batch = (shares[index] ?? []).slice(from, from + 50).map((leaf) => again(leaf));
          added += (await committer.commit({ leaves: batch, quarantined: [] })).added;
        }
        return added;
      }),
    );
    expect(counts.reduce((sum, count) => sum + count, 0)).toBe(1200);
    expect([...(await checkLog(query)).ids].sort()).toEqual(idsOf(all).sort());
    expect(await received()).toEqual([{ received: '{[1,1201)}' }]);
  });

  it('commits nothing of a batch that fails, and everything of it the next time', async () => {
    class Failing extends LogRepository {
      failures = 3;

      override async add(manager: EntityManager, addition: Addition): Promise<Added> {
        const added = await super.add(manager, addition);
        if ((this.failures -= 1) >= 0) throw new Error('the connection is lost');
        return added;
      }
    }
    const { committer } = await aCommitterOf(Failing);
    const batch = { leaves: leaves(300), quarantined: [] };
    for (let time = 0; time < 3; time += 1) await expect(committer.commit(batch)).rejects.toThrow('is lost');
    expect(await checkLog(query)).toMatchObject({ size: 0 });
    await committer.commit(batch);
    expect(await checkLog(query)).toMatchObject({ size: 300 });
  });

  it('finds out what became of a commit whose answer was lost', async () => {
    class Unanswered extends LogRepository {
      lost = false;

      override async transaction<T>(work: (manager: EntityManager) => Promise<T>): Promise<T> {
        const done = await super.transaction(work);
        if (this.lost) return done;
        this.lost = true;
        throw new Error('no answer to the commit');
      }

      override async addAtOnce(addition: Addition): Promise<boolean> {
        const done = await super.addAtOnce(addition);
        if (this.lost) return done;
        this.lost = true;
        throw new Error('no answer to the statement');
      }
    }
    const { committer, log } = await aCommitterOf(Unanswered);
    for (const [before, added] of [
      [0, 300],
      [310, 70],
    ] as const) {
      log.lost = false;
      const batch = { leaves: leaves(added), quarantined: [] };
      await expect(committer.commit(batch)).rejects.toThrow('no answer');
      expect(await committer.commit(batch)).toMatchObject({ added: 0, known: added });
      // The second of them is the one that goes at once again.
      for (const count of [6, 4]) await committer.commit({ leaves: leaves(count), quarantined: [] });
      expect(await checkLog(query)).toMatchObject({ size: before + added + 10 });
    }
  });

  it('asks the database once for a batch that is new, and not again in vain while batches are not', async () => {
    class Counting extends LogRepository {
      readonly ways: string[] = [];

      override async addAtOnce(addition: Addition): Promise<boolean> {
        const done = await super.addAtOnce(addition);
        this.ways.push(done ? 'at once' : 'in vain');
        return done;
      }

      override async transaction<T>(work: (manager: EntityManager) => Promise<T>): Promise<T> {
        this.ways.push('sorted');
        return await super.transaction(work);
      }
    }
    const { committer, log } = await aCommitterOf(Counting);
    const first = leaves(10);
    const repeated = [...leaves(5), ...first.slice(0, 5).map((leaf) => again(leaf))];
    for (const batch of [
      first,
      leaves(10),
      repeated,
      first.map((leaf) => again(leaf)),
      leaves(10),
      leaves(10),
    ])
      await committer.commit({ leaves: batch, quarantined: [] });
    expect(log.ways).toEqual([
      'sorted', // nothing is known of the log yet
      'at once',
      ...['in vain', 'sorted'],
      'sorted',
      'sorted', // the first without repetitions
      'at once',
    ]);
    expect((await checkLog(query)).size).toBe(45);
  });

  it('adds nothing at once behind a head that somebody else has moved', async () => {
    const [committer, other] = [await aCommitter(), await aCommitter()];
    await committer.commit({ leaves: leaves(300), quarantined: [] });
    await other.commit({ leaves: leaves(20), quarantined: [] });
    const held = leaves(30);
    expect(await committer.commit({ leaves: held, quarantined: [] })).toMatchObject({ added: 30, known: 0 });
    const log = await checkLog(query);
    expect(log.size).toBe(350);
    expect(log.ids.slice(-30)).toEqual(idsOf(held));
  });

  it('has the months made that events belong to, by class', async () => {
    const committer = await aCommitter();
    const months = [0, 40, 100, 300].map((days) => new Date(Date.now() - days * 86_400_000).toISOString());
    const classes = ['trading', 'audit', 'error', 'session'] as const;
    const all = months.flatMap((time) => classes.map((retention) => aLeaf({ time, retention })));
    await committer.commit({ leaves: all, quarantined: [] });
    const kept = await query<{ partition: string }>(
      'SELECT tableoid::regclass::text AS partition FROM audit.events ORDER BY position',
    );
    const expected = months.flatMap((time) =>
      classes.map((name) => `audit.events_${name}_${time.slice(0, 7).replace('-', '_')}`),
    );
    expect(kept.map((row) => row.partition)).toEqual(expected);
  });

  it('makes a month again that was taken away since', async () => {
    const committer = await aCommitter();
    const time = new Date(Date.now() - 200 * 86_400_000).toISOString();
    const month = `audit.events_session_${time.slice(0, 7).replace('-', '_')}`;
    await committer.commit({ leaves: [aLeaf({ time, retention: 'trading' })], quarantined: [] });
    await query(`DROP TABLE ${month}`);
    await committer.commit({ leaves: [aLeaf({ time, retention: 'session' })], quarantined: [] });
    expect(await query(`SELECT id FROM ${month}`)).toHaveLength(1);
    expect((await checkLog(query)).size).toBe(2);
  });

  it('refuses a time that no month is made for as a fault of the event', async () => {
    const committer = await aCommitter();
    const batch = { leaves: [aLeaf({ time: '1999-01-01T00:00:00.000Z' })], quarantined: [] };
    await expect(committer.commit(batch)).rejects.toMatchObject({ driverError: { code: '22023' } });
    await committer.commit({ leaves: leaves(2), quarantined: [] });
    expect(await checkLog(query)).toMatchObject({ size: 2 });
  });

  it('keeps what was put aside once, whatever characters it has', async () => {
    const committer = await aCommitter();
    const message = {
      streamSeq: 1,
      subject: 'a\0b',
      headers: { h: 'x\0\ud800' },
      bytes: Buffer.from([0, 255]),
    };
    const aside = quarantined(message, { code: 'bad_data', reason: 'r\0', source: '\0' });
    const counts = [];
    for (let time = 0; time < 2; time += 1)
      counts.push((await committer.commit({ leaves: [], quarantined: [aside] })).report.messages.length);
    expect(counts).toEqual([1, 0]);
    expect(await query('SELECT subject, code, body FROM audit.quarantine')).toEqual([
      { subject: 'a\ufffdb', code: 'bad_data', body: Buffer.from([0, 255]) },
    ]);
  });

  it.each([
    ['{"detail":"plain","reason":"why"}', 'plain why'],
    ['{"state":"running"}', ''],
    ['{"detail":"nul \\u0000 in it"}', 'nul   in it'],
    ['{"detail":"half a \\ud800 pair, \\\\u0000 none","reason":"r"}', 'half a   pair,  u0000 none r'],
    ['{"reason":null,"detail":"a \\"quote\\""}', 'a "quote"'],
    ['[1,2]', ''],
    ['"text"', ''],
  ])('finds the free text of %s', async (data, details) => {
    const committer = await aCommitter();
    await committer.commit({ leaves: [aLeaf({ data })], quarantined: [] });
    expect(await query('SELECT details FROM audit.events')).toEqual([{ details }]);
    expect((await checkLog(query)).size).toBe(1);
  });
});

function roleUrl(ownerUrl: string, name: string): string {
  const url = new URL(ownerUrl);
  url.username = uniqueName(name).replaceAll('-', '_');
  url.password = 'role-of-the-spec';
  return url.toString();
}

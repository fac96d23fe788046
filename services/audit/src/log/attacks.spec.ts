import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { exportLog, readEvidence, readExport, verifyExport, type Verdict } from '#libs/evidence';
import { SigningKey } from '#libs/messaging';
import { checkpointText, signNote } from '#libs/tlog';
import { startPostgres, uniqueName, waitFor, withClient, type TestPostgres } from '#libs/testing';
import { AuditFixture } from '../testing/audit.fixture.js';
import { coverUp } from '../testing/clever.owner.js';

type Query = <T extends object>(sql: string, values?: unknown[]) => Promise<T[]>;

/** What the owner of the database does, and what has to be said of it. */
interface Attack {
  readonly name: string;
  readonly run: (query: Query) => Promise<unknown>;
  /** With the hashes of the witness. */
  readonly expected: { readonly what: string; readonly position: number; readonly records?: number };
  /** With nothing but the checkpoints in the database; null: nothing can be told. */
  readonly alone: string | null;
  /** Default: of the log as it is. */
  readonly of?: 'backup';
}

const backup_records = 300;
const all_records = 620;
const copyOfRow = (position: number) => `
  INSERT INTO audit.events (id, position, source, incarnation, sequence, type, entity, entity_id, severity, retention,
                            actor, subject_id, time, traceparent, data, signature, recorded_at, leaf_hash)
  SELECT overlay(id::text PLACING 'ffffffffffff' FROM 25)::uuid, ${position}, source, incarnation, sequence, type, entity,
         entity_id, severity, retention, actor, subject_id, time, traceparent, data, signature, recorded_at, leaf_hash
    FROM audit.events WHERE position = 100 LIMIT 1`;
const change = `UPDATE audit.events SET data = replace(data::text, '"epoch":', '"epoch":1')::json WHERE position = 123`;
const swap = `UPDATE audit.events SET position = CASE position WHEN 40 THEN 470 ELSE 40 END WHERE position IN (40, 470)`;

const attacks: readonly Attack[] = [
  {
    name: 'change a record',
    run: async (query) => await query(change),
    expected: { what: 'changed', position: 123 },
    alone: 'changed',
  },
  {
    name: 'delete a record',
    run: async (query) => await query('DELETE FROM audit.events WHERE position = 200'),
    expected: { what: 'removed', position: 200, records: 1 },
    alone: 'removed',
  },
  {
    name: 'swap two records',
    run: async (query) => await query(swap),
    expected: { what: 'reordered', position: 40 },
    alone: 'changed',
  },
  {
    name: 'insert a record behind the end',
    run: async (query) => await query(copyOfRow(5000)),
    expected: { what: 'inserted', position: 5000 },
    alone: 'inserted',
  },
  {
    name: 'insert a record at a place that is taken',
    run: async (query) => await query(copyOfRow(350)),
    expected: { what: 'inserted', position: 350, records: 1 },
    alone: 'inserted',
  },
  {
    name: 'cut off the end',
    run: async (query) => await query('DELETE FROM audit.events WHERE position >= 560'),
    expected: { what: 'tail-missing', position: 560 },
    alone: 'tail-missing',
  },
  {
    name: 'roll back to an old backup',
    of: 'backup',
    run: async () => await Promise.resolve(),
    expected: { what: 'older', position: backup_records },
    alone: null,
  },
  {
    name: 'change a record, and cover it up',
    run: async (query) => {
      await query(change);
      await coverUp(query, 123);
    },
    expected: { what: 'changed', position: 123 },
    alone: null,
  },
  {
    name: 'change a record, cover it up but for the checkpoints',
    run: async (query) => {
      await query(change);
      await coverUp(query, 100_000);
    },
    expected: { what: 'changed', position: 123 },
    alone: 'changed',
  },
  {
    name: 'delete two records, and cover it up',
    run: async (query) => {
      await query('DELETE FROM audit.events WHERE position IN (200, 201)');
      await coverUp(query, 200);
    },
    expected: { what: 'removed', position: 200, records: 2 },
    alone: null,
  },
  {
    name: 'swap two records, and cover it up',
    run: async (query) => {
      await query(swap);
      await coverUp(query, 40);
    },
    expected: { what: 'reordered', position: 40 },
    alone: null,
  },
  {
    name: 'insert a record, and cover it up',
    run: async (query) => {
      await query('UPDATE audit.events SET position = position + 1 WHERE position >= 350');
      await query(copyOfRow(350));
      await coverUp(query, 350);
    },
    expected: { what: 'inserted', position: 350, records: 1 },
    alone: null,
  },
  {
    name: 'cut off the end, and cover it up',
    run: async (query) => {
      await query('DELETE FROM audit.events WHERE position >= 560');
      await coverUp(query, 560);
    },
    expected: { what: 'older', position: 560 },
    alone: null,
  },
  {
    name: 'change a record, cover it up, and sign with another key',
    run: async (query) => {
      await query(change);
      await coverUp(query, 123);
      const signer = (await SigningKey.generate()).rawSigner();
      const root = Buffer.alloc(32);
      const note = signNote(
        checkpointText({ origin: 'tradefleet/audit', size: 130, root }),
        'tradefleet/audit',
        signer,
      );
      await query('INSERT INTO audit.checkpoints VALUES ($1, 130, $2, $3, now())', [
        'tradefleet/audit',
        root,
        note,
      ]);
    },
    expected: { what: 'changed', position: 123 },
    alone: 'checkpoint',
  },
];

describe('what the owner of the database does to the log', () => {
  let postgres: TestPostgres;
  let fixture: AuditFixture;
  let backup: string;
  const table: string[][] = [];
  const copies: string[] = [];

  beforeAll(async () => {
    postgres = await startPostgres();
    const settings = { checkpointMs: 100, checkpointEvents: 1_000_000 };
    fixture = await AuditFixture.create(await postgres.createDatabase(), settings);
    await recordUpTo(backup_records);
    backup = await copyOf(fixture.ownerUrl);
    await recordUpTo(all_records);
  }, 120_000);
  afterAll(async () => {
    show(table);
    for (const name of copies)
      await withClient(
        postgres.url,
        async (client) => await client.query(`DROP DATABASE ${name} WITH (FORCE)`),
      );
    await fixture.stop();
    await postgres.stop();
  });

  /** Fills the log to a size that a checkpoint covers; then nothing is connected to it. */
  async function recordUpTo(size: number): Promise<void> {
    const audit = await fixture.start();
    for (;;) {
      const state = await fixture.messaging.call('log.checkpoint', {});
      if (state.size >= size) break;
      await fixture.publish(
        ...Array.from({ length: Math.min(100, size - state.size) }, () => fixture.event()),
      );
      await waitFor(async () => (await fixture.unsettled()) === 0);
    }
    await waitFor(
      async () => (await fixture.messaging.call('log.checkpoint', {})).checkpoint?.size === size,
      { what: `a checkpoint of ${size}` },
    );
    await audit.stop();
  }

  /** The same database under another name. */
  async function copyOf(url: string): Promise<string> {
    const copy = new URL(url);
    copy.pathname = `/${uniqueName('copy').replaceAll('-', '_')}`;
    const [from, to] = [url, copy.toString()].map((it) => new URL(it).pathname.slice(1));
    await withClient(postgres.url, async (client) => {
      await client.query(`CREATE DATABASE ${to} TEMPLATE ${from}`);
    });
    copies.push(to ?? '');
    return copy.toString();
  }

  /** Exports a database as an operator does, through a service of its own that knows nothing of the witness. */
  async function exported(url: string): Promise<string> {
    const database = new URL(url).pathname;
    const of = (role: string): string => Object.assign(new URL(role), { pathname: database }).toString();
    const folder = join(fixture.folder, uniqueName('export'));
    const audit = await fixture.start({
      databaseUrl: of(fixture.config.databaseUrl),
      readerDatabaseUrl: of(fixture.config.readerDatabaseUrl),
      databaseOwnerUrl: undefined,
      witnessDir: `${folder}-witness`,
      checkpointMs: 3_600_000,
    });
    const pieces: string[] = [];
    const options = { exportedAt: new Date(), pageRecords: 100 };
    for await (const { text } of exportLog(fixture.messaging, options)) pieces.push(text);
    await audit.stop();
    await writeFile(folder, pieces.join(''));
    return folder;
  }

  async function verified(path: string, evidence: string | null, range: { from?: number; to?: number } = {}) {
    return await verifyExport({
      open: () => readExport(path),
      evidence: async (origin) => (evidence === null ? null : await readEvidence(evidence, origin)),
      key: null,
      ...range,
    });
  }

  const said = ({ finding }: Verdict): string =>
    finding === null
      ? 'as it was seen'
      : `${finding.what} at ${finding.position}${finding.to === null ? '' : `-${finding.to - 1}`}`;

  it('is nothing: then the log is as it was seen', async () => {
    const path = await exported(await copyOf(fixture.ownerUrl));
    const verdict = await verified(path, fixture.config.witnessDir);
    expect(verdict).toMatchObject({
      ...{ isAsSeen: true, size: all_records, records: all_records, covered: all_records },
      ...{ against: 'leaves', seen: all_records, keyFrom: 'witness', archived: 0, finding: null },
    });
    expect(verdict.checkpoints).toBeGreaterThanOrEqual(4);
    const alone = await verified(path, null);
    expect(alone).toMatchObject({ isAsSeen: true, against: 'nothing', seen: null, keyFrom: 'export' });
    const notes = join(fixture.config.witnessDir, 'tradefleet_audit.checkpoints');
    expect(await verified(path, notes)).toMatchObject({ isAsSeen: true, against: 'checkpoints' });
    table.push(['nothing', said(verdict), said(alone)]);
  });

  it.each(attacks)('is found: $name', async ({ name, run, expected, alone, of }) => {
    const url = await copyOf(of === 'backup' ? backup : fixture.ownerUrl);
    const query: Query = async <T extends object>(sql: string, values: unknown[] = []) =>
      await withClient(url, async (client) => (await client.query<T>(sql, values)).rows);
    await run(query);
    const path = await exported(url);
    const verdict = await verified(path, fixture.config.witnessDir);
    expect(verdict.finding).toMatchObject(expected);
    const there = await query<{ id: string }>('SELECT id FROM audit.events WHERE position = $1', [
      expected.position,
    ]);
    if (['changed', 'reordered', 'inserted'].includes(expected.what))
      expect(there.map(({ id }) => id)).toContain(verdict.finding?.id);
    const withoutWitness = await verified(path, null);
    expect(withoutWitness.finding?.what ?? null).toBe(alone);
    // Checkpoints alone tell at least that something is wrong.
    const notes = join(fixture.config.witnessDir, 'tradefleet_audit.checkpoints');
    expect((await verified(path, notes)).isAsSeen).toBe(false);
    table.push([name, said(verdict), said(withoutWitness)]);
  });

  it('is judged within the records one asks for', async () => {
    const url = await copyOf(fixture.ownerUrl);
    await withClient(url, async (client) => await client.query(change));
    const path = await exported(url);
    const seen = fixture.config.witnessDir;
    expect((await verified(path, seen, { from: 124 })).isAsSeen).toBe(true);
    expect((await verified(path, seen, { to: 123 })).isAsSeen).toBe(true);
    expect((await verified(path, seen, { from: 123, to: 124 })).finding).toMatchObject({ position: 123 });
  });
});

/** For people, who want to see what is said of each. */
function show(table: readonly (readonly string[])[]): void {
  const rows = [['as the owner of the database', 'with the witness', 'with the database alone'], ...table];
  const widths = [0, 1, 2].map((column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  const lines = rows.map((row) => row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  '));
  process.stdout.write(`\n${lines.map((line) => line.trimEnd()).join('\n')}\n\n`);
}

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { startPostgres, withClient, type TestPostgres } from '#libs/testing';
import { prepareDatabase } from '../database/prepare-database.js';
import { AuditFixture } from '../testing/audit.fixture.js';
import { planOf } from '../testing/plans.js';
import type { QueryRepository } from './query.repository.js';
import type { StoredFilter } from './stored.query.js';

const rows = 40_000;
const limit = 101;
/** What a page may read: its rows, those that other filters take out of them, and one more of each other table. */
const read_max = 6 * limit;

describe('a log that has just been filled', () => {
  let postgres: TestPostgres;
  let fixture: AuditFixture;
  let middle: { time: Date; id: string };

  beforeAll(async () => {
    postgres = await startPostgres();
    fixture = await AuditFixture.create(await postgres.createDatabase());
    await prepareDatabase(fixture.config, fixture.logger);
    await withClient(fixture.ownerUrl, async (client) => {
      await client.query('SELECT audit.ensure_partitions(now()::date, now()::date)');
      // As it is before the database first looks at the tables, whenever that is.
      for (const { name } of (await client.query<{ name: string }>(tables)).rows)
        await client.query(`ALTER TABLE audit.${name} SET (autovacuum_enabled = false)`);
      await client.query(fill, [rows]);
    });
    const [found] = await fixture.query<typeof middle>(
      'SELECT time, id FROM audit.events WHERE position = $1',
      [rows / 2],
    );
    if (found === undefined) throw new Error('The log was not filled.');
    middle = found;
  }, 120_000);
  afterAll(async () => {
    await fixture.stop();
    await postgres.stop();
  });

  const rowsReadBy = async (ask: (repository: QueryRepository) => Promise<unknown>) =>
    (await planOf(fixture.ownerUrl, ask, { size: rows, carryOut: true })).rowsRead;

  it('is one of which the planner knows nothing', async () => {
    const known = await fixture.query(
      "SELECT 1 FROM pg_class WHERE relname LIKE 'events\\_%\\_20%' AND relkind = 'r' AND reltuples >= 0",
    );
    expect(known).toEqual([]);
  });

  it.each<[string, StoredFilter]>([
    ['everything', {}],
    ['a class', { retention: 'trading' }],
    ['a type', { type: 'tradefleet.allocation.running' }],
    ['a source', { source: '/agent/host-1' }],
    ['an actor', { actors: ['host:host-1'] }],
    ['what is grave', { severity: 'warning' }],
    ['an entity', { entity: 'allocation', entityId: 'name-1' }],
    ['a time', { from: new Date(Date.now() - 40 * 86_400_000).toISOString() }],
  ])('gives out %s page by page, reading little more than each page', async (_, filter) => {
    const after = { time: middle.time.toISOString(), id: middle.id, size: rows };
    for (const order of ['asc', 'desc'] as const) {
      expect(await rowsReadBy((it) => it.find(filter, { after, order }, limit))).toBeLessThan(read_max);
      expect(await rowsReadBy((it) => it.find(filter, { after: null, order }, limit))).toBeLessThan(read_max);
    }
  });

  it('is followed, reading little more than each page', async () => {
    expect(await rowsReadBy((it) => it.range({}, 0, limit - 1, limit))).toBeLessThan(read_max);
    const from = new Date(Date.now() - 3_600_000).toISOString();
    expect(await rowsReadBy((it) => it.range({ from }, 100, 20_100, limit))).toBeLessThan(read_max);
  });
});

const tables = "SELECT relname AS name FROM pg_class WHERE relname LIKE 'events\\_%\\_20%' AND relkind = 'r'";

/** Forty seconds of a fleet. Every filter of the spec fits most of them: then a page is at hand. */
const fill = `
  INSERT INTO audit.events (id, position, source, incarnation, sequence, type, entity, entity_id, severity, retention,
                            actor, time, traceparent, data, recorded_at, leaf_hash)
  SELECT gen_random_uuid(), n, '/agent/host-1', '0190a0a0-0000-7000-8000-000000000009', n,
         'tradefleet.allocation.running', 'allocation', 'name-1', 'warning', 'trading', 'host:host-1', time, NULL,
         json_build_object('detail', NULL, 'bot', 'name-' || n % 2000), time, decode(repeat('ab', 32), 'hex')
    FROM (SELECT n, date_trunc('milliseconds', now() - ($1::integer - n) * interval '1 millisecond') AS time
            FROM generate_series(0, $1::integer - 1) AS n) AS made
`;

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { EventCount } from '#libs/contracts';
import { startPostgres, withClient, type TestPostgres } from '#libs/testing';
import { prepareDatabase } from '../database/prepare-database.js';
import { AuditFixture } from '../testing/audit.fixture.js';
import { planOf as plan } from '../testing/plans.js';
import type { StoredFilter } from './stored.query.js';

const rows = 60_000;
const day_ms = 24 * 60 * 60 * 1000;

describe('the plans of queries', () => {
  let postgres: TestPostgres;
  let fixture: AuditFixture;
  const now_ms = Date.now();
  const ago = (days: number) => new Date(now_ms - days * day_ms).toISOString();

  beforeAll(async () => {
    postgres = await startPostgres();
    fixture = await AuditFixture.create(await postgres.createDatabase());
    await prepareDatabase(fixture.config, fixture.logger);
    await withClient(fixture.ownerUrl, async (client) => {
      await client.query("SELECT audit.ensure_partitions((now() - interval '130 days')::date, now()::date)");
      await client.query(fill, [rows]);
      await client.query('ANALYZE audit.events');
    });
  }, 120_000);
  afterAll(async () => {
    await fixture.stop();
    await postgres.stop();
  });

  const planOf = async (ask: Parameters<typeof plan>[1]) => await plan(fixture.ownerUrl, ask, { size: rows });

  const page = { after: null, order: 'desc' } as const;
  const month = { from: ago(40), to: ago(35) };

  it.each<[string, StoredFilter, RegExp]>([
    ['nothing', {}, /_time_id_idx/],
    ['an entity', { entity: 'bot', entityId: 'name-77' }, /entity_entity_id/],
    ['an id of whatever it is', { entityId: 'name-77' }, /entity_entity_id/],
    ['a type', { type: 'tradefleet.bot.created' }, /_type_time_id/],
    ['an actor', { actors: ['host:host-7'] }, /_actor_time_id/],
    ['a person with two names', { actors: ['host:host-7', 'host:host-8'] }, /_time_id/],
    ['a trace', { traceId: 'f'.repeat(32) }, /_trace_id_time/],
    ['a source', { source: '/agent/host-7' }, /_source_time_id/],
    ['a rare word', { text: 'quicksilver' }, /to_tsvector/],
    ['a common word', { text: 'margin' }, /to_tsvector|_time_id/],
    ['warnings', { severity: 'warning' }, /_time_id_idx\d/],
    ['what is critical', { severity: 'critical' }, /_time_id_idx\d/],
    ['a range', month, /_time_id/],
    ['an entity in a range', { entityId: 'name-77', ...month }, /entity_entity_id/],
    ['a word in a range', { text: 'quicksilver', ...month }, /to_tsvector/],
    ['a source and a severity', { source: '/agent/host-7', severity: 'warning' }, /_source_time|_idx\d/],
    ['a class', { retention: 'audit' }, /_time_id/],
  ])('finds %s by an index', async (_, filter, index) => {
    const { indexes, scanned } = await planOf((repository) => repository.find(filter, page, 101));
    expect(scanned.filter((table) => !isSmall(table))).toEqual([]);
    expect(indexes.filter((name) => index.test(name)).length).toBeGreaterThan(0);
  });

  it('leaves out the months and classes that are not asked for', async () => {
    const range = await planOf((repository) => repository.find(month, page, 101));
    const whole = await planOf((repository) => repository.find({}, page, 101));
    expect(range.tables.size).toBeLessThan(whole.tables.size);
    expect(range.tables.size).toBeLessThanOrEqual(8);
    const inClass = await planOf((repository) =>
      repository.find({ ...month, retention: 'error' }, page, 101),
    );
    expect([...inClass.tables].every((name) => name.startsWith('events_error_'))).toBe(true);
    const after = { time: ago(100), id: '0190a0a0-0000-7000-8000-000000000001', size: rows };
    const late = await planOf((repository) => repository.find({}, { after, order: 'desc' }, 101));
    expect(late.tables.size).toBeLessThan(whole.tables.size);
  });

  it('follows the log by position', async () => {
    const { indexes, scanned } = await planOf((repository) =>
      repository.range({ severity: 'warning' }, rows - 500, rows, 100),
    );
    expect(scanned.filter((table) => !isSmall(table))).toEqual([]);
    expect(indexes.every((name) => name.includes('position'))).toBe(true);
    const newest = await planOf(
      async (repository) => await repository.range({ from: ago(1) }, rows - 500, rows, 100),
    );
    expect(newest.tables.size).toBeLessThanOrEqual(8);
  });

  it.each<[EventCount['by']]>([[undefined], ['type'], ['severity'], ['source'], ['entity']])(
    'counts a range by %s within its months',
    async (by) => {
      const { tables, scanned } = await planOf((repository) => repository.count(month, 3600, by, 10));
      expect(tables.size).toBeLessThanOrEqual(8);
      expect(scanned.filter((table) => !isSmall(table))).toEqual([]);
    },
  );
});

/** Partitions of classes with next to nothing in them: reading all of that is right. */
const isSmall = (table: string): boolean => /^events_(error|session)_/.test(table);

/** Rows of four months, as unlike each other as those of a fleet. */
const fill = `
  INSERT INTO audit.events (id, position, source, incarnation, sequence, type, entity, entity_id, severity, retention,
                            actor, time, traceparent, data, recorded_at, leaf_hash)
  SELECT gen_random_uuid(), n, '/agent/host-' || n % 100, '0190a0a0-0000-7000-8000-000000000009', n,
         'tradefleet.' || entity || '.' || (ARRAY['created', 'started', 'stopped', 'changed'])[1 + n / 7 % 4],
         entity, 'name-' || n / 3 % 2000, severity,
         CASE WHEN severity = 'critical' THEN 'error' WHEN entity = 'bot' THEN 'audit' ELSE 'trading' END,
         'host:host-' || n % 100, time, NULL,
         json_build_object('detail', CASE WHEN n % 3001 = 0 THEN 'quicksilver' WHEN n % 10 = 0 THEN 'margin call'
                                          ELSE NULL END, 'bot', 'name-' || n % 2000),
         time, decode(repeat('ab', 32), 'hex')
    FROM (SELECT n, (ARRAY['bot', 'allocation', 'allocation', 'allocation', 'host'])[1 + n % 5] AS entity,
                 CASE WHEN n % 997 = 0 THEN 'critical' WHEN n % 101 = 0 THEN 'warning' WHEN n % 2 = 0 THEN 'notice'
                      ELSE 'info' END AS severity,
                 date_trunc('milliseconds', now() - interval '125 days' * (1 - n / $1::float8)) AS time
            FROM generate_series(0, $1::integer - 1) AS n) AS made
`;

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { startPostgres, withClient, type TestPostgres } from '#libs/testing';
import { prepareDatabase } from '../database/prepare-database.js';
import type { ReaderDatabase } from '../database/reader.js';
import { AuditFixture } from '../testing/audit.fixture.js';
import { SecurityRepository, type SecurityFilter } from './security.repository.js';

const rows = 60_000;

interface Node {
  readonly 'Node Type': string;
  readonly 'Relation Name'?: string;
  readonly 'Actual Rows': number;
  readonly 'Actual Loops': number;
  readonly Plans?: readonly Node[];
}

describe('the plans of security events', () => {
  let postgres: TestPostgres;
  let fixture: AuditFixture;

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

  /** Runs a page as the repository asks for it; gives how many rows of the log were read, and what was scanned. */
  async function cost(filter: SecurityFilter): Promise<{ read: number; scanned: string[]; found: number }> {
    const nodes: Node[] = [];
    let found = 0;
    await withClient(fixture.ownerUrl, async (client) => {
      const query = async (sql: string, values: unknown[] = []) => {
        if (sql.includes('audit_work.head')) return [{ size: String(rows) }];
        if (sql.includes('FROM audit.security_types')) return (await client.query<object>(sql, values)).rows;
        const explain = `EXPLAIN (ANALYZE, FORMAT JSON) ${sql}`;
        const explained = await client.query<{ 'QUERY PLAN': { Plan: Node }[] }>(explain, values);
        const walk = (node: Node): void => {
          nodes.push(node);
          node.Plans?.forEach(walk);
        };
        const [plan] = explained.rows[0]?.['QUERY PLAN'] ?? [];
        found = plan?.Plan['Actual Rows'] ?? 0;
        if (plan !== undefined) walk(plan.Plan);
        return [];
      };
      const database = { bounded: async (_: number, work: (q: object) => unknown) => await work({ query }) };
      const repository = new SecurityRepository(database as unknown as ReaderDatabase);
      await repository.find(filter, { after: null, order: 'desc' }, 51);
    });
    const ofEvents = nodes.filter((node) => node['Relation Name']?.startsWith('events_') === true);
    return {
      read: ofEvents.reduce((sum, node) => sum + node['Actual Rows'] * node['Actual Loops'], 0),
      scanned: ofEvents
        .filter((node) => node['Node Type'] === 'Seq Scan' && node['Actual Rows'] > 0)
        .flatMap((node) => node['Relation Name'] ?? []),
      found,
    };
  }

  it.each<[string, SecurityFilter, number]>([
    ['all', {}, 51],
    ['one kind of few', { eventType: 'credential_access' }, 3],
    ['a range', { from: new Date(Date.now() - 6 * 86_400_000).toISOString() }, 51],
  ])('read %s without what lies between', async (_, filter, expected) => {
    const { read, scanned, found } = await cost(filter);
    expect(found).toBe(expected);
    expect(scanned).toEqual([]);
    expect(read).toBeLessThan(2000);
  });
});

/** Mostly what no review reads, over four months; locked accounts among them, and three passwords at the very beginning. */
const fill = `
  INSERT INTO audit.events (id, position, source, incarnation, sequence, type, entity, entity_id, severity, retention,
                            actor, time, traceparent, data, recorded_at, leaf_hash)
  SELECT gen_random_uuid(), n, '/scheduler', '0190a0a0-0000-7000-8000-000000000009', n + 1, type,
         split_part(type, '.', 2), 'name-' || n % 2000, 'notice',
         CASE WHEN type LIKE '%allocation%' THEN 'trading' ELSE 'audit' END, 'user:unknown', time, NULL,
         json_build_object('detail', NULL), time, decode(repeat('ab', 32), 'hex')
    FROM (SELECT n, CASE WHEN n < 3 THEN 'tradefleet.credential.set' WHEN n % 40 = 0 THEN 'tradefleet.account.locked'
                         WHEN n % 3 = 0 THEN 'tradefleet.allocation.running' ELSE 'tradefleet.move.planned' END AS type,
                 date_trunc('milliseconds', now() - interval '125 days' * (1 - n / $1::float8)) AS time
            FROM generate_series(0, $1::integer - 1) AS n) AS made
`;

import { SystemClock } from '#libs/clock';
import { withClient } from '#libs/testing';
import { plannerSettings, type ReaderDatabase } from '../database/reader.js';
import { QueryRepository } from '../query/query.repository.js';

interface Node {
  readonly 'Node Type': string;
  readonly 'Relation Name'?: string;
  readonly 'Index Name'?: string;
  readonly 'Actual Rows'?: number;
  readonly 'Actual Loops'?: number;
  readonly 'Rows Removed by Filter'?: number;
  readonly 'Rows Removed by Index Recheck'?: number;
  readonly Plans?: readonly Node[];
}

/** How the database goes about the statements that a question makes: what is read, and by which index. */
export interface Plan {
  readonly indexes: readonly string[];
  readonly tables: ReadonlySet<string>;
  /** Tables that are read row by row. */
  readonly scanned: readonly string[];
  /** Rows that were taken out of tables and indexes, of all statements together; 0 of what was not carried out. */
  readonly rowsRead: number;
}

/**
 * Stands for the reader's connections: explains instead of asking, so that every answer is empty.
 * @param carryOut whether statements are also carried out, to count what they read
 */
export async function planOf(
  ownerUrl: string,
  ask: (repository: QueryRepository) => Promise<unknown>,
  { size, carryOut = false }: { size: number; carryOut?: boolean },
): Promise<Plan> {
  const nodes: Node[] = [];
  await withClient(ownerUrl, async (client) => {
    await client.query(`BEGIN; ${plannerSettings}`);
    const query = async (sql: string, values: unknown[] = []) => {
      if (sql.includes('audit_work.head')) return [{ size: String(size) }];
      const explained = await client.query<{ 'QUERY PLAN': { Plan: Node }[] }>(
        `EXPLAIN (FORMAT JSON${carryOut ? ', ANALYZE' : ''}) ${sql}`,
        values,
      );
      const walk = (node: Node): void => {
        nodes.push(node);
        node.Plans?.forEach(walk);
      };
      explained.rows[0]?.['QUERY PLAN'].forEach(({ Plan }) => walk(Plan));
      return [];
    };
    const database = {
      query,
      bounded: async (_: number, work: (q: object) => unknown) => await work({ query }),
    };
    await ask(new QueryRepository(database as unknown as ReaderDatabase, new SystemClock()));
  });
  return {
    indexes: [...new Set(nodes.flatMap((node) => node['Index Name'] ?? []))],
    tables: new Set(nodes.flatMap((node) => node['Relation Name'] ?? [])),
    scanned: nodes
      .filter((node) => node['Node Type'] === 'Seq Scan')
      .flatMap((node) => node['Relation Name'] ?? []),
    rowsRead: nodes.reduce((sum, node) => sum + readBy(node), 0),
  };
}

function readBy(node: Node): number {
  if (!node['Node Type'].includes('Scan')) return 0;
  const rows =
    (node['Actual Rows'] ?? 0) +
    (node['Rows Removed by Filter'] ?? 0) +
    (node['Rows Removed by Index Recheck'] ?? 0);
  return rows * (node['Actual Loops'] ?? 0);
}

import pg from 'pg';

interface Column {
  readonly name: string;
  /** As SQL has it. */
  readonly type: string;
}

/** Column by column, each value as text, as Postgres writes it. */
export type Rows = readonly (readonly (string | null)[])[];

const schema = 'bench';

/**
 * What Postgres does when asked for no more than it must be: rows of the log into a table with the columns and indexes
 * of the log, by `INSERT ... SELECT FROM unnest ... ON CONFLICT DO NOTHING` in batches, one connection, a commit each.
 * Nothing is received, checked, signed or proved, and the table has no partitions.
 */
export class RawTable {
  private constructor(
    private readonly client: pg.Client,
    private readonly columns: readonly Column[],
    /** Rows in a batch. */
    readonly batch: number,
    private readonly table: string,
  ) {}

  static async create(url: string, batch: number): Promise<RawTable> {
    const client = new pg.Client({ connectionString: url, query_timeout: 120_000 });
    await client.connect();
    const table = `${schema}.events_${batch}`;
    await client.query(
      `SET timezone = 'UTC'; CREATE SCHEMA IF NOT EXISTS ${schema}; CREATE TABLE ${table} (LIKE audit.events INCLUDING ALL)`,
    );
    const { rows } = await client.query<Column>(
      `SELECT quote_ident(attname) AS name, format_type(atttypid, atttypmod) AS type FROM pg_attribute
        WHERE attrelid = 'audit.events'::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = ''
        ORDER BY attnum`,
    );
    return new RawTable(client, rows, batch, table);
  }

  /** What the log holds at the positions from `first` to before `end`. */
  async readLog(first: number, end: number): Promise<Rows> {
    const columns = this.columns.map(({ name }) => `array_agg(${name}::text ORDER BY position) AS ${name}`);
    const { rows } = await this.client.query<Record<string, (string | null)[]>>(
      `SELECT ${columns.join(', ')} FROM audit.events WHERE position >= $1 AND position < $2`,
      [first, end],
    );
    const [row] = rows;
    return this.columns.map(({ name }) => row?.[name.replaceAll('"', '')] ?? []);
  }

  /** Milliseconds from the first row to the last commit. */
  async insert(rows: Rows): Promise<number> {
    const names = this.columns.map(({ name }) => name).join(', ');
    const arrays = this.columns.map(({ type }, index) => `$${index + 1}::${type}[]`).join(', ');
    const sql = `INSERT INTO ${this.table} (${names}) SELECT * FROM unnest(${arrays}) ON CONFLICT DO NOTHING`;
    const count = rows[0]?.length ?? 0;
    const begin_ms = performance.now();
    let inserted = 0;
    for (let from = 0; from < count; from += this.batch) {
      const part = rows.map((values) => values.slice(from, from + this.batch));
      inserted += (await this.client.query(sql, part)).rowCount ?? 0;
    }
    const elapsed_ms = performance.now() - begin_ms;
    if (inserted !== count)
      throw new Error(`${count} rows were offered to ${this.table}, ${inserted} are new.`);
    return elapsed_ms;
  }

  async close(): Promise<void> {
    await this.client.end();
  }
}

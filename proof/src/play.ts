import { runMigrations } from '#libs/persistence';
import type { TestPostgres } from '#libs/testing';
import pg from 'pg';
import { migrations, schedulerSchema } from '../../services/scheduler/src/database/migrations/index.js';
import type { Rules } from './rules.js';
import { perform, type Step } from './steps.js';
import { World } from './world.js';

/** Databases for worlds: copies of one that is migrated once. */
export class Databases {
  private made = 0;

  private constructor(
    private readonly admin: pg.Client,
    private readonly template: URL,
  ) {}

  static async of(postgres: TestPostgres): Promise<Databases> {
    const url = await postgres.createDatabase();
    await runMigrations({ url, schema: schedulerSchema, migrations, applicationName: 'proof' });
    const admin = new pg.Client({ connectionString: postgres.url });
    await admin.connect();
    return new Databases(admin, new URL(url));
  }

  /** Runs `work` with a database of its own. */
  async withOne<T>(work: (url: string) => Promise<T>): Promise<T> {
    this.made += 1;
    const from = this.template.pathname.slice(1);
    const name = `${from}_${this.made}`;
    await this.admin.query(`CREATE DATABASE ${name} TEMPLATE ${from}`);
    const url = new URL(this.template);
    url.pathname = `/${name}`;
    try {
      return await work(url.toString());
    } finally {
      await this.admin.query(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`);
    }
  }

  async close(): Promise<void> {
    await this.admin.end();
  }
}

/** One run: a fleet is begun, all steps are done to it, it is repaired. Throws as soon as what must hold does not. */
export async function play(
  databases: Databases,
  { seed, steps, rules }: { seed: number; steps: readonly Step[]; rules?: Partial<Rules> },
): Promise<void> {
  await databases.withOne(async (databaseUrl) => {
    const world = await World.begin({ seed, databaseUrl, ...(rules === undefined ? {} : { rules }) });
    try {
      for (const step of steps) {
        await perform(world, step);
        await world.requireOneWriter();
      }
      await world.healAndConverge();
    } finally {
      await world.close();
    }
  });
}

import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { consumers } from '#libs/contracts';
import { provision } from '#libs/messaging';
import { repositoryRoot, startPostgres, waitFor, withClient, type TestPostgres } from '#libs/testing';
import { prepareDatabase } from '../database/prepare-database.js';
import { AuditFixture } from '../testing/audit.fixture.js';
import { checkLog } from '../testing/log.check.js';

const patience = { timeoutMs: 45_000 };
const program = join(repositoryRoot(), 'dist/services/audit/src/main.js');
const kills_count = 4;
/** Before each start; and while a transaction is held up, so that it is killed in the middle for certain. */
const events_each = 700;
const events_held = 600;
const events_count = kills_count * events_each + (kills_count / 2) * events_held;

describe('an audit service that is killed', () => {
  let postgres: TestPostgres;
  let fixture: AuditFixture;
  let running: ChildProcess | null = null;

  beforeAll(async () => {
    if (!existsSync(program))
      throw new Error('Run `npm run build` first: this test starts the built service.');
    postgres = await startPostgres();
    fixture = await AuditFixture.create(await postgres.createDatabase());
    await prepareDatabase(fixture.config, fixture.logger);
  });
  afterAll(async () => {
    await kill();
    await fixture.stop();
    await postgres.stop();
  });

  /** All is handed out again, at once: the service knows what it has. */
  async function handOutAgain(): Promise<void> {
    const { stream, durable } = consumers.audit;
    const manager = await fixture.messaging.manager();
    await manager.consumers.delete(stream, durable);
    await provision(fixture.messaging, { streams: [], consumers: [consumers.audit] });
  }

  /** The service as in production, but for small batches: so that there are many to be killed in. */
  function start(): void {
    const { config } = fixture;
    const settings = Object.entries({ ...config, batchEventsMax: 100, logLevel: 'error' });
    running = spawn(process.execPath, [program], {
      env: Object.fromEntries(settings.map(([name, value]) => [variable(name), text(value)])),
      stdio: ['ignore', 'ignore', 'inherit'],
    });
  }

  async function kill(): Promise<void> {
    if (running === null || running.exitCode !== null) return;
    const gone = once(running, 'exit');
    running.kill('SIGKILL');
    await gone;
    running = null;
  }

  const recorded = async () => (await fixture.recordedIds()).length;

  /** The transaction of a batch is open: something of it may be written, and it is not committed. */
  const isCommitting = async () =>
    (
      await fixture.query(
        `SELECT 1 FROM pg_stat_activity
          WHERE datname = current_database() AND application_name = 'tradefleet-audit' AND xact_start IS NOT NULL
            AND query LIKE '%audit_work.head%'`,
      )
    ).length > 0;

  it('leaves no gap and no duplicate, whatever it was doing', async () => {
    const events: ReturnType<AuditFixture['event']>[] = [];
    const publish = async (count: number): Promise<void> => {
      const more = Array.from({ length: count }, () => fixture.event());
      events.push(...more);
      await fixture.publish(...more);
    };
    for (let number = 0; number < kills_count; number += 1) {
      const before = await recorded();
      await publish(events_each);
      await handOutAgain();
      start();
      await waitFor(async () => (await recorded()) > before, patience);
      if (number % 2 === 0) {
        const deadline_ms = performance.now() + 2000;
        while (!(await isCommitting()) && performance.now() < deadline_ms);
        await kill();
      } else {
        await withClient(fixture.ownerUrl, async (client) => {
          await client.query('BEGIN; SELECT size FROM audit_work.head FOR UPDATE');
          await publish(events_held);
          await waitFor(isCommitting, patience);
          await kill();
        });
      }
      // The transaction under way ends with its connection.
      await waitFor(async () => !(await isCommitting()), patience);
      await checkLog(async (sql) => await fixture.query(sql));
    }
    await handOutAgain();
    start();
    await waitFor(
      async () => (await recorded()) === events_count && (await fixture.unsettled()) === 0,
      patience,
    );
    const log = await checkLog(async (sql) => await fixture.query(sql));
    expect(log.ids.filter((id) => events.some((event) => event.id === id))).toHaveLength(events_count);
    expect(
      await fixture.query(
        "SELECT received::text AS received FROM audit_work.producers WHERE source = '/scheduler'",
      ),
    ).toEqual([{ received: `{[1,${events_count + 1})}` }]);
  }, 180_000);
});

const variable = (name: string): string =>
  `TRADEFLEET_${name.replaceAll(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase()}`;

const text = (value: unknown): string => (typeof value === 'string' ? value : JSON.stringify(value));

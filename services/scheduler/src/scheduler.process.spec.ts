import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { apiSubject, consumers, eventHeaders, subjects, type ApiName } from '#libs/contracts';
import {
  connectMessaging,
  decodeEvent,
  natsPermissions,
  natsServerConfig,
  natsUserName,
  SigningKey,
  verifyEvent,
  type Messaging,
} from '#libs/messaging';
import { createLogger } from '#libs/telemetry';
import {
  aPublicKey,
  startNats,
  startPostgres,
  uniqueName,
  waitFor,
  type TestNats,
  type TestPostgres,
} from '#libs/testing';
import pg from 'pg';
import type { Health } from './health/health.controller.js';
import { SchedulerConfig } from './scheduler.config.js';
import { startScheduler, type RunningScheduler } from './scheduler.process.js';

const password = 'only-for-this-test';
const logger = createLogger({ service: 'scheduler-test', level: 'silent' });

/** The whole process but for `main.ts`, as its own NATS user with no more rights than that has. */
describe('the scheduler', () => {
  let nats: TestNats;
  let postgres: TestPostgres;
  let client: Awaited<ReturnType<TestNats['connect']>>;
  let folder: string;
  let config: SchedulerConfig;
  const lost: string[] = [];
  const running = new Set<RunningScheduler>();

  beforeAll(async () => {
    const users = (['scheduler', 'client', 'audit', 'gateway'] as const).map((user) => ({
      user: natsUserName(user),
      password,
      permissions: natsPermissions(user),
    }));
    [nats, postgres, folder] = await Promise.all([
      startNats({
        // The test's server is given its folder on the command line and takes it from one place only.
        config: ({ port, storeDir }) =>
          natsServerConfig({ port, storeDir, users }).replace(/^ {2}store_dir: .*$/m, ''),
      }),
      startPostgres(),
      mkdtemp(join(tmpdir(), 'tradefleet-scheduler-')),
    ]);
    config = SchedulerConfig.parse({
      natsUrl: [nats.url],
      natsUser: 'scheduler',
      natsPassword: password,
      databaseUrl: await postgres.createDatabase(),
      signingKeyPath: join(folder, 'signing.jwk'),
      // No pause of a busy machine ends the lead.
      leaderLeaseMs: 30_000,
      auditPublicKey: aPublicKey,
    });
    await (await SigningKey.generate()).toNewFile(config.signingKeyPath);
    client = await nats.connect({ user: 'client', pass: password });
  });
  afterEach(async () => {
    await Promise.all([...running].map(async (scheduler) => await scheduler.stop()));
    running.clear();
  });
  afterAll(async () => {
    await client.close();
    await nats.stop();
    await postgres.stop();
    await rm(folder, { recursive: true });
  });

  const start = async (signal?: AbortSignal, log = logger): Promise<RunningScheduler> => {
    const scheduler = await startScheduler({
      config,
      logger: log,
      ...(signal === undefined ? {} : { signal }),
      onLeadershipLost: (reason) => lost.push(reason),
    });
    running.add(scheduler);
    return scheduler;
  };
  /** A logger whose lines the test can read. */
  const listening = () => {
    const lines: string[] = [];
    const destination = { write: (line: string) => void lines.push(line) };
    return { log: createLogger({ service: 'scheduler-test', destination }), lines };
  };
  const stop = async (scheduler: RunningScheduler): Promise<void> => {
    running.delete(scheduler);
    await scheduler.stop();
  };
  const ask = async (name: ApiName, request: object): Promise<unknown> =>
    (await client.request(apiSubject(name), JSON.stringify(request), { timeout: 30_000 })).json();

  it('serves a stock client, publishes signed events without a gap, and goes on after a restart', async () => {
    const seen: { sequence: number; incarnation: string; type: string }[] = [];
    const checks: Promise<void>[] = [];
    let scheduler = await start();
    const key = (await SigningKey.fromFile(config.signingKeyPath)).publicJwk;
    const gateway: Messaging = await connectMessaging({
      servers: nats.url,
      user: 'gateway',
      password,
      name: 'gateway',
      logger,
    });
    const stopTail = await gateway.tail(
      subjects.eventsAll(),
      (message) => {
        const { attributes } = decodeEvent({
          ...message,
          body: JSON.parse(Buffer.from(message.bytes).toString()) as unknown,
        });
        if (message.headers[eventHeaders.source] === '/scheduler') seen.push(attributes);
        checks.push(verifyEvent(message, key));
      },
      { sinceSeq: 1 },
    );
    try {
      const first = uniqueName('tenant');
      expect(await ask('tenants.create', { name: first })).toMatchObject({
        ok: true,
        result: { name: first },
      });
      expect(await ask('tenants.create', { name: first })).toMatchObject({
        ok: false,
        problem: { code: 'tenant_exists' },
      });
      await waitFor(() => seen.length === 2);
      await stop(scheduler);
      await expect(ask('tenants.get', { name: first })).rejects.toThrow();

      scheduler = await start();
      expect(await ask('tenants.get', { name: first })).toMatchObject({ ok: true, result: { name: first } });
      await ask('tenants.create', { name: uniqueName('tenant') });
      await waitFor(() => seen.length === 3);
      // Each start numbers in an incarnation of its own.
      const [before, , after] = seen.map(({ incarnation }) => incarnation);
      expect(seen.map(({ incarnation, sequence }) => [incarnation, sequence])).toEqual([
        [before, 1],
        [before, 2],
        [after, 1],
      ]);
      expect(after).not.toBe(before);
      await Promise.all(checks);
      expect(checks).toHaveLength(3);

      const health = await gateway.request<Health>(subjects.internal('scheduler', 'health'), {});
      expect(health).toMatchObject({
        ready: true,
        term: 2,
        database: true,
        nats: true,
        outbox: { failures: 0 },
      });
    } finally {
      await stopTail();
      await gateway.drain();
      await stop(scheduler);
    }
  });

  it('makes the consumers of its hosts again, should the broker have lost them', async () => {
    await stop(await start());
    const host = uniqueName('host');
    const database = new pg.Client({ connectionString: config.databaseUrl });
    database.on('error', () => undefined);
    await database.connect();
    await database.query(
      `INSERT INTO scheduler.hosts (name, state, driver, runtimes, labels, cpu_millis, memory_mib, bots_max,
         agent_version, incarnation, signing_key, sealing_key)
       VALUES ($1, 'ready', 'simulated', '{paper}', '{}', 1, 1, 1, '0.1.0', gen_random_uuid(), '{}', '{}')`,
      [host],
    );
    await database.end();
    const scheduler = await start();
    const broker = await connectMessaging({
      servers: nats.url,
      user: 'scheduler',
      password,
      name: 'scheduler',
      logger,
    });
    const { stream, durable, filter } = consumers.agentCommands(host);
    const manager = await broker.manager();
    expect((await manager.consumers.info(stream, durable)).config.filter_subject).toBe(filter);
    await broker.drain();
    await stop(scheduler);
  });

  it('answers a request that is under way before it stops', async () => {
    const scheduler = await start();
    await ask('tenants.create', { name: 'acme' });
    await ask('accounts.create', { name: 'acme-1', tenant: 'acme', server: 'S', login: 1 });
    const made = (await ask('bots.create', { name: 'acme-1', account: 'acme-1', runtime: 'paper' })) as {
      result: { operation: string };
    };
    const waiting = ask('operations.wait', { id: made.result.operation, timeoutMs: 9000 });
    // Requests of one connection are received in order: once this is answered, the one before it waits.
    await ask('tenants.get', { name: 'acme' });
    await stop(scheduler);
    expect(await waiting).toMatchObject({ ok: true, result: { state: 'running' } });
  });

  it('stands by while another one leads, serves nothing, and takes over when that one stops', async () => {
    const leader = await start();
    let standbyServes = false;
    const { log, lines } = listening();
    const standby = start(undefined, log).then((scheduler) => {
      standbyServes = true;
      return scheduler;
    });
    await waitFor(() => lines.some((line) => line.includes('standing by')));
    for (let n = 0; n < 20; n += 1) expect(await ask('tenants.list', {})).toMatchObject({ ok: true });
    expect(standbyServes).toBe(false);
    await stop(leader);
    const successor = await standby;
    expect(await ask('tenants.list', {})).toMatchObject({ ok: true });
    await stop(successor);
    expect(lost).toEqual([]);
  });

  it('ends as a standby when it is told to', async () => {
    const leader = await start();
    const stopping = new AbortController();
    const { log, lines } = listening();
    const standby = start(stopping.signal, log);
    await waitFor(() => lines.some((line) => line.includes('standing by')));
    stopping.abort(new Error('told to stop'));
    await expect(standby).rejects.toThrow();
    expect(await ask('tenants.list', {})).toMatchObject({ ok: true });
    await stop(leader);
  });
});

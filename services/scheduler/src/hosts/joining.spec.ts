import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import {
  api,
  apiSubject,
  subjects,
  type ApiName,
  type ApiRequest,
  type ApiResponse,
  type HostRegistered,
  type Problem,
} from '#libs/contracts';
import { connectMessaging, SigningKey, type Messaging } from '#libs/messaging';
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
import { SignedHost } from '../heartbeats/signed-host.harness.js';
import { SchedulerConfig } from '../scheduler.config.js';
import { startScheduler, type RunningScheduler } from '../scheduler.process.js';

/** The whole scheduler with its real settings; agents and clients are nothing but messages. */
describe('joining the fleet', () => {
  let nats: TestNats;
  let postgres: TestPostgres;
  let database: pg.Client;
  let scheduler: RunningScheduler;
  let client: Awaited<ReturnType<TestNats['connect']>>;
  let messaging: Messaging;
  let folder: string;
  let key: SigningKey;
  const log: string[] = [];
  const tokens: string[] = [];

  beforeAll(async () => {
    [nats, postgres, folder] = await Promise.all([
      startNats(),
      startPostgres(),
      mkdtemp(join(tmpdir(), 'tradefleet-joining-')),
    ]);
    const config = SchedulerConfig.parse({
      natsUrl: [nats.url],
      databaseUrl: await postgres.createDatabase(),
      signingKeyPath: join(folder, 'signing.jwk'),
      auditPublicKey: aPublicKey,
      logLevel: 'trace',
    });
    key = await SigningKey.generate();
    await key.toNewFile(config.signingKeyPath);
    const destination = { write: (line: string) => void log.push(line) };
    const logger = createLogger({ service: 'scheduler', level: 'trace', destination });
    scheduler = await startScheduler({ config, logger, onLeadershipLost: () => undefined });
    client = await nats.connect();
    messaging = await connectMessaging({ servers: nats.url, name: 'agents', logger });
    database = new pg.Client({ connectionString: config.databaseUrl });
    database.on('error', () => undefined);
    await database.connect();
  });
  afterAll(async () => {
    await database.end();
    await messaging.drain();
    await client.close();
    await scheduler.stop();
    await nats.stop();
    await postgres.stop();
    await rm(folder, { recursive: true });
  });

  const send = async (name: ApiName, request: object): Promise<{ result?: unknown; problem?: Problem }> =>
    (await client.request(apiSubject(name), JSON.stringify(request), { timeout: 10_000 })).json();
  const ask = async <N extends ApiName>(name: N, request: ApiRequest<N>): Promise<ApiResponse<N>> => {
    const { result, problem } = await send(name, request);
    if (problem !== undefined) throw new Error(`${name} was refused: ${problem.detail}`);
    return api[name].response.parse(result) as ApiResponse<N>;
  };
  const refusal = async (name: ApiName, request: object): Promise<string | undefined> =>
    (await send(name, request)).problem?.code;
  const invite = async (name: string, more: { ttlMs?: number; replaceKey?: boolean } = {}) => {
    const { token } = await ask('hosts.invite', { name, ...more });
    if (token === null) throw new Error('No token was shown.');
    tokens.push(token);
    return token;
  };
  const register = async (host: SignedHost, joinToken?: string, subjectHost = host.name): Promise<string> => {
    const body = host.register(joinToken === undefined ? {} : { joinToken });
    const options = { signer: host.key, verify: key.publicJwk, timeoutMs: 10_000 };
    try {
      await messaging.request<HostRegistered>(subjects.register(subjectHost), body, options);
      return 'registered';
    } catch (error) {
      return (error as { code: string }).code;
    }
  };
  const eventsOf = async (host: string): Promise<string[]> => {
    const { rows } = await database.query<{ type: string }>(
      `SELECT event ->> 'type' AS type FROM scheduler.outbox WHERE event ->> 'subjectId' = $1 ORDER BY id`,
      [host],
    );
    return rows.map(({ type }) => type.replace('tradefleet.host.', ''));
  };
  const down = async (host: string) =>
    await database.query(`UPDATE scheduler.hosts SET state = 'down' WHERE name = $1`, [host]);
  const known = async (host: string): Promise<boolean> =>
    (await refusal('hosts.get', { name: host })) === undefined;

  it('refuses who was not invited, and has that audited', async () => {
    const host = await SignedHost.create();
    expect(await register(host)).toBe('join_token_invalid');
    expect(await register(host, 'A'.repeat(43))).toBe('join_token_invalid');
    expect(await known(host.name)).toBe(false);
    // One record of the same in a minute is enough.
    expect(await eventsOf(host.name)).toEqual(['join-refused']);
  });

  it('lets the agent in that has the token, once, and then knows it by its key', async () => {
    const host = await SignedHost.create();
    const token = await invite(host.name);
    expect(await register(host, token)).toBe('registered');
    // Its answer may have been lost.
    expect(await register(host, token)).toBe('registered');
    host.restart();
    expect(await register(host)).toBe('registered');
    expect(await refusal('hosts.invite', { name: host.name })).toBe('invalid_transition');

    const thief = await SignedHost.create({ host: host.name });
    expect(await register(thief, token)).toBe('join_token_invalid');
    expect(await register(thief)).toBe('host_key_mismatch');
    expect(await eventsOf(host.name)).toEqual([
      'invited',
      'registered',
      'registered',
      'join-refused',
      expect.any(String),
    ]);
  });

  it('does not take a token for another host, on whatever subject', async () => {
    const host = await SignedHost.create();
    const other = await SignedHost.create();
    const token = await invite(host.name);
    expect(await register(other, token)).toBe('join_token_invalid');
    expect(await register(other, token, host.name)).toBe('wrong_host');
    expect(await known(other.name)).toBe(false);
    // It was not used up by that.
    expect(await register(host, token)).toBe('registered');
  });

  it('takes no token whose time is over', async () => {
    const host = await SignedHost.create();
    const token = await invite(host.name, { ttlMs: 10_000 });
    await database.query(
      `UPDATE scheduler.join_tokens SET expires_at = now() - interval '1 ms' WHERE host = $1`,
      [host.name],
    );
    expect(await register(host, token)).toBe('join_token_invalid');
    expect(await register(host, await invite(host.name))).toBe('registered');
  });

  it('takes only the newest token of a host', async () => {
    const host = await SignedHost.create();
    const first = await invite(host.name);
    const second = await invite(host.name);
    expect(await register(host, first)).toBe('join_token_invalid');
    expect(await register(host, second)).toBe('registered');
  });

  it('lets one of two agents in that come with one token at the same time', async () => {
    for (let round = 0; round < 8; round += 1) {
      const name = uniqueName('host');
      const agents = await Promise.all([1, 2, 3].map(async () => await SignedHost.create({ host: name })));
      const token = await invite(name);
      const outcomes = await Promise.all(agents.map(async (agent) => await register(agent, token)));
      expect(outcomes.filter((outcome) => outcome === 'registered')).toHaveLength(1);
      const winner = agents[outcomes.indexOf('registered')];
      expect((await ask('hosts.get', { name })).signingKey.x).toBe(winner?.key.publicJwk.x);
    }
  });

  it('lets one agent in that sends its registration twice at the same time', async () => {
    const host = await SignedHost.create();
    const token = await invite(host.name);
    const outcomes = await Promise.all([1, 2, 3].map(async () => await register(host, token)));
    expect(outcomes).toEqual(['registered', 'registered', 'registered']);
    expect(await eventsOf(host.name)).toEqual(['invited', 'registered']);
  });

  it('shows the token once: the same request again is answered without it', async () => {
    const host = await SignedHost.create();
    const request = { name: host.name, idempotencyKey: uniqueName('key') };
    const first = await ask('hosts.invite', request);
    tokens.push(first.token ?? '');
    expect(await ask('hosts.invite', request)).toEqual({ ...first, token: null });
    expect(await register(host, first.token ?? '')).toBe('registered');
  });

  it('gives a machine that was installed anew a new key, and only when nothing of the old one can run', async () => {
    const old = await SignedHost.create();
    expect(await register(old, await invite(old.name))).toBe('registered');
    expect(await refusal('hosts.invite', { name: old.name, replaceKey: true })).toBe('invalid_transition');
    await down(old.name);
    const token = await invite(old.name, { replaceKey: true });

    const anew = await SignedHost.create({ host: old.name });
    // It has come back before the token was used.
    await database.query(`UPDATE scheduler.hosts SET state = 'ready' WHERE name = $1`, [old.name]);
    expect(await register(anew, token)).toBe('join_token_invalid');
    await down(old.name);
    expect(await register(anew, token)).toBe('registered');
    expect((await ask('hosts.get', { name: old.name })).signingKey.x).toBe(anew.key.publicJwk.x);
    expect(await register(old)).toBe('host_key_mismatch');
    expect(await register(old, token)).toBe('join_token_invalid');
    expect(await register(anew)).toBe('registered');
  });

  it('replaces no key by an invitation that was not for that', async () => {
    const host = await SignedHost.create();
    const token = await invite(host.name);
    // Somebody else has become this host meanwhile, as with `hostJoin: open`.
    await database.query(
      `INSERT INTO scheduler.hosts (name, state, driver, runtimes, labels, cpu_millis, memory_mib, bots_max,
         agent_version, incarnation, signing_key, sealing_key)
       VALUES ($1, 'down', 'simulated', '{paper}', '{}', 1, 1, 1, '0.1.0', gen_random_uuid(), $2, '{}')`,
      [host.name, (await SigningKey.generate()).publicJwk],
    );
    expect(await register(host, token)).toBe('join_token_invalid');
  });

  it('forgets a host for good once it is down and has nothing', async () => {
    const host = await SignedHost.create();
    expect(await register(host, await invite(host.name))).toBe('registered');
    expect(await refusal('hosts.remove', { name: host.name })).toBe('invalid_transition');
    await down(host.name);
    expect(await refusal('hosts.remove', { name: host.name, expectedGeneration: 7 })).toBe(
      'stale_generation',
    );
    const open = await invite(host.name, { replaceKey: true });
    expect(await ask('hosts.remove', { name: host.name, reason: 'sold' })).toMatchObject({ state: 'down' });
    expect(await refusal('hosts.remove', { name: host.name })).toBe('host_not_found');
    expect(await refusal('hosts.invite', { name: host.name, replaceKey: true })).toBe('host_not_found');
    expect(await register(host)).toBe('join_token_invalid');
    expect(await register(host, open)).toBe('join_token_invalid');
    expect(await register(host, await invite(host.name))).toBe('registered');
  });

  it('leaves a token in no log, no event, no message and no row', async () => {
    expect(tokens.length).toBeGreaterThan(10);
    const { rows: waiting } = await database.query<{ n: number }>(
      'SELECT count(*)::int AS n FROM scheduler.outbox WHERE published_at IS NULL',
    );
    if ((waiting[0]?.n ?? 0) > 0)
      await waitFor(async () => {
        const { rows } = await database.query(
          'SELECT FROM scheduler.outbox WHERE published_at IS NULL LIMIT 1',
        );
        return rows.length === 0;
      });
    const places: [string, string][] = [['the log', log.join('\n')]];
    const { rows: tables } = await database.query<{ name: string }>(
      `SELECT format('%I.%I', schemaname, tablename) AS name FROM pg_tables
       WHERE schemaname NOT IN ('pg_catalog', 'information_schema')`,
    );
    for (const { name } of tables) {
      const { rows } = await database.query<{ row: string }>(`SELECT t::text AS row FROM ${name} t`);
      places.push([name, rows.map(({ row }) => row).join('\n')]);
    }
    const manager = await messaging.manager();
    for await (const stream of manager.streams.list()) {
      const { messages, last_seq } = stream.state;
      for (let seq = stream.state.first_seq; messages > 0 && seq <= last_seq; seq += 1) {
        const message = await manager.streams.getMessage(stream.config.name, { seq });
        if (message === null) continue;
        const headers = [...message.header].flat(2).join('\n');
        places.push([`${stream.config.name} ${seq}`, `${message.subject}\n${headers}\n${message.string()}`]);
      }
    }
    // It looks where something can be found.
    const told = places.filter(([, text]) => text.includes('join-refused'));
    expect(told.map(([place]) => place)).toContain('scheduler.outbox');
    expect(places.some(([place]) => place.startsWith('EVENTS'))).toBe(true);
    for (const token of tokens) {
      const hex = Buffer.from(token, 'base64url').toString('hex');
      const found = places.filter(([, text]) => text.includes(token) || text.includes(hex));
      expect(found.map(([place]) => place)).toEqual([]);
    }
  });
});

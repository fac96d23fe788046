import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { GatewayClient } from '#libs/client';
import {
  type ApiName,
  apiNames,
  apiSubject,
  api,
  newId,
  ProblemError,
  streams,
  subjects,
} from '#libs/contracts';
import {
  connectMessaging,
  encodeSignedEvent,
  type Messaging,
  provision,
  SealingKey,
  SigningKey,
} from '#libs/messaging';
import { createLogger } from '#libs/telemetry';
import { aPublicKey, aBot, startNats, type TestNats, waitFor } from '#libs/testing';
import type { NatsConnection } from '@nats-io/transport-node';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createGateway } from './gateway.server.js';

const adminToken = 'a-token-of-more-than-thirty-two-characters';

interface Asked {
  readonly subject: string;
  readonly body: Record<string, unknown>;
  readonly actor: string | undefined;
}

describe('gateway', () => {
  let nats: TestNats;
  let services: NatsConnection;
  let messaging: Messaging;
  let app: NestFastifyApplication;
  let url: string;
  let sealing: SealingKey;
  let folder: string;
  const asked: Asked[] = [];
  const answers = new Map<string, unknown>();
  const log: string[] = [];

  beforeAll(async () => {
    nats = await startNats();
    folder = await mkdtemp(join(tmpdir(), 'tradefleet-gateway-'));
    sealing = await SealingKey.generate();
    services = await nats.connect();
    // Stands for the services behind the gateway: our own interface, in its real form.
    services.subscribe('fleet.v1.>', {
      callback: (_, message) => {
        if (message.reply === undefined || message.reply === '') return;
        // It asks for itself, whenever its refusals are to be confirmed.
        if (message.subject === subjects.internal('audit', 'watermark')) return;
        // What the gateway tells of itself is no request.
        if (/^fleet\.v1\.(evt|internal)\./.test(message.subject)) return;
        const body = message.data.length === 0 ? {} : message.json<Record<string, unknown>>();
        asked.push({ subject: message.subject, body, actor: message.headers?.get('tradefleet-actor') });
        const answer = answers.get(message.subject);
        if (answer !== undefined) message.respond(JSON.stringify(answer));
      },
    });
    await services.flush();
    const logger = createLogger({
      service: 'gateway',
      level: 'debug',
      destination: { write: (line: string) => void log.push(line) },
    });
    messaging = await connectMessaging({ servers: nats.url, name: 'gateway-spec', logger });
    await provision(messaging, { streams: [streams.events] });
    const signingKey = await SigningKey.generate();
    app = await createGateway(
      {
        ...{ natsUrl: [nats.url], port: 1, adminToken, signingKeyPath: '', logLevel: 'debug', signingKey },
        spoolPath: join(folder, 'spool.sqlite'),
        auditPublicKey: [aPublicKey],
      },
      messaging,
      logger,
    );
    await app.listen(0, '127.0.0.1');
    url = await app.getUrl();
  });
  afterAll(async () => {
    await app.close();
    await services.close();
    await nats.stop();
    await rm(folder, { recursive: true, force: true });
  });

  const answer = (name: ApiName, result: unknown) => answers.set(apiSubject(name), { ok: true, result });
  const http = (path: string, init: RequestInit = {}) =>
    fetch(`${url}${path}`, {
      ...init,
      headers: { authorization: `Bearer ${adminToken}`, ...(init.headers as Record<string, string>) },
    });
  const client = () => new GatewayClient({ url, token: adminToken });
  const lastAsked = (subject: string) => asked.findLast((request) => request.subject === subject);

  it('has a route for every operation of the API', async () => {
    for (const name of apiNames) {
      const { method, path } = api[name].http;
      const response = await fetch(`${url}/api/v1${path.replace(/\{\w+\}/g, 'x')}`, { method });
      expect(`${name} ${response.status}`).toBe(`${name} 401`);
    }
    expect((await fetch(`${url}/api/v1/nothing`)).status).toBe(404);
  });

  it('turns away who has no token or another, and tells the audit log', async () => {
    const seen: string[] = [];
    const stop = await messaging.tail(subjects.eventsOf('session'), (m) => void seen.push(m.subject), {
      newOnly: true,
    });
    for (const authorization of ['', 'Bearer x', `Basic ${adminToken}`, `Bearer ${adminToken}x`]) {
      const response = await http('/api/v1/bots', { headers: { authorization } });
      expect(response.status).toBe(401);
      expect(response.headers.get('content-type')).toContain('application/problem+json');
      expect(response.headers.get('www-authenticate')).toBe('Bearer');
      expect(await response.json()).toMatchObject({ code: 'unauthenticated', status: 401 });
    }
    // Those of earlier tests may still be under way.
    await waitFor(() => seen.length >= 4);
    await stop();
    expect(log.join('')).not.toContain(adminToken);
  });

  it('tells the audit log what it refuses itself, and leaves to services what they refuse', async () => {
    const seen: { type: string; actor: string | undefined; data: Record<string, unknown> }[] = [];
    const stop = await messaging.tail(
      subjects.eventsOf('request'),
      ({ headers, bytes }) =>
        void seen.push({
          type: headers['ce-type'] ?? '',
          actor: headers['ce-actor'],
          data: JSON.parse(Buffer.from(bytes).toString('utf8')) as Record<string, unknown>,
        }),
      { newOnly: true },
    );
    const problem = new ProblemError('bot_not_found', 'Make it first.').toProblem();
    answers.set(apiSubject('bots.stop'), { ok: false, problem });
    const post = { method: 'POST', headers: { 'content-type': 'application/json' } };
    expect((await http('/api/v1/bots/b1/stop', { ...post, body: '{}' })).status).toBe(404);
    expect((await http('/api/v1/bots/Bad_Name')).status).toBe(400);
    expect((await http('/api/v1/bots/b1/stop', { ...post, body: '{"colour": 1}' })).status).toBe(400);
    expect((await http('/api/v1/bots', { ...post, body: '{"name": ' })).status).toBe(400);
    expect((await http('/api/v1/nothing/here?token=x', { method: 'DELETE' })).status).toBe(404);
    const mine = (operation: string) => seen.filter(({ data }) => data['operation'] === operation);
    const last = 'DELETE /api/v1/nothing/here';
    await waitFor(() => mine(last).length > 0, { what: 'the last refusal' });
    await waitFor(() => mine('bots.create').length > 0 && mine('bots.get').length > 0);
    await stop();
    expect(mine('bots.get')).toMatchObject([
      { type: 'tradefleet.request.read-refused', actor: 'user:admin', data: { code: 'invalid_request' } },
    ]);
    expect(mine('bots.stop')).toMatchObject([
      { type: 'tradefleet.request.refused', actor: 'user:admin', data: { code: 'invalid_request' } },
    ]);
    expect(mine('bots.create')).toMatchObject([{ data: { code: 'malformed_json' } }]);
    expect(mine(last)).toMatchObject([{ actor: 'user:unknown', data: { code: 'unknown_subject' } }]);
  });

  it('keeps a token that was put into the query out of the audit log', async () => {
    const seen: string[] = [];
    const stop = await messaging.tail(
      subjects.eventsOf('session'),
      ({ bytes }) => void seen.push(Buffer.from(bytes).toString('utf8')),
      { newOnly: true },
    );
    expect((await fetch(`${url}/api/v1/events/stream?token=${adminToken}`)).status).toBe(401);
    await waitFor(() => seen.some((text) => text.includes('/api/v1/events/stream')));
    await stop();
    const paths = seen.map((text) => (JSON.parse(text) as { path: string }).path);
    expect(paths).toContain('/api/v1/events/stream');
    expect(seen.join('') + log.join('')).not.toContain(adminToken);
  });

  it('sends fields from path, query, body and headers on, in the caller’s name', async () => {
    const bot = aBot();
    answer('bots.update', { operation: newId(), bot });
    await client().call('bots.update', {
      name: bot.name,
      expectedGeneration: 4,
      idempotencyKey: 'key-1',
      parameters: { fast: 5 },
    });
    expect(lastAsked(apiSubject('bots.update'))).toEqual({
      subject: apiSubject('bots.update'),
      body: { name: bot.name, expectedGeneration: 4, idempotencyKey: 'key-1', parameters: { fast: 5 } },
      actor: 'user:admin',
    });
    answer('bots.list', { bots: [bot], next: null });
    expect(await client().call('bots.list', { limit: 7, tenant: 'acme' })).toEqual({
      bots: [bot],
      next: null,
    });
    expect(lastAsked(apiSubject('bots.list'))?.body).toEqual({ limit: 7, tenant: 'acme' });
  });

  it('answers created and accepted as such', async () => {
    const created = {
      name: 'x',
      displayName: 'x',
      generation: 1,
      createdAt: new Date().toISOString(),
      createdBy: 'user:admin',
    };
    answer('tenants.create', created);
    const response = await http('/api/v1/tenants', {
      method: 'POST',
      body: JSON.stringify({ name: 'x' }),
      headers: { 'content-type': 'application/json' },
    });
    expect(response.status).toBe(201);
    expect(await response.json()).toEqual(created);
  });

  it.each<[string, RequestInit & { path: string }, number, string]>([
    ['malformed JSON', { path: '/api/v1/bots', method: 'POST', body: '{"name":' }, 400, 'malformed_json'],
    ['an array', { path: '/api/v1/bots', method: 'POST', body: '[1]' }, 400, 'invalid_request'],
    ['no body', { path: '/api/v1/tenants', method: 'POST', body: '' }, 400, 'malformed_json'],
    [
      'an unknown field',
      { path: '/api/v1/tenants', method: 'POST', body: '{"name":"a","nane":1}' },
      400,
      'invalid_request',
    ],
    ['a wrong type', { path: '/api/v1/tenants', method: 'POST', body: '{"name":1}' }, 400, 'invalid_request'],
    [
      'an oversize body',
      { path: '/api/v1/tenants', method: 'POST', body: JSON.stringify({ name: 'x'.repeat(300_000) }) },
      413,
      'payload_too_large',
    ],
    [
      'a field of the path in the body',
      { path: '/api/v1/bots/b1/start', method: 'POST', body: '{"name":"b2"}' },
      400,
      'invalid_request',
    ],
    [
      'a header field in the body',
      { path: '/api/v1/bots/b1/start', method: 'POST', body: '{"idempotencyKey":"k"}' },
      400,
      'invalid_request',
    ],
    ['an unknown query', { path: '/api/v1/bots?tenent=a', method: 'GET' }, 400, 'invalid_request'],
    ['a query given twice', { path: '/api/v1/bots?limit=1&limit=2', method: 'GET' }, 400, 'invalid_request'],
    ['a limit that is no number', { path: '/api/v1/bots?limit=many', method: 'GET' }, 400, 'invalid_request'],
    [
      'an unusable If-Match',
      { path: '/api/v1/bots/b1/stop', method: 'POST', body: '{}', headers: { 'if-match': '*' } },
      400,
      'invalid_request',
    ],
    ['a name that is none', { path: '/api/v1/bots/Bad_Name', method: 'GET' }, 400, 'invalid_request'],
    [
      'another media type',
      { path: '/api/v1/tenants', method: 'POST', body: 'name=a', headers: { 'content-type': 'text/plain' } },
      400,
      'invalid_request',
    ],
    [
      'a password with a field too many',
      { path: '/api/v1/accounts/a/credentials', method: 'PUT', body: '{"password":"p","x":1}' },
      400,
      'invalid_request',
    ],
  ])('refuses %s at the door and asks no service', async (_, { path, headers, ...init }, status, code) => {
    const before = asked.length;
    const given = init.body == null ? {} : { 'content-type': 'application/json' };
    const response = await http(path, {
      ...init,
      headers: { ...given, ...(headers as Record<string, string>) },
    });
    const problem = (await response.json()) as { code: string; status: number; detail: string };
    expect({ status: response.status, code: problem.code }).toEqual({ status, code });
    expect(problem.detail.length).toBeGreaterThan(10);
    expect(asked.length).toBe(before);
  });

  it('passes on the problem of a service, status and all', async () => {
    const problem = new ProblemError('stale_generation', 'Read the bot again.').toProblem();
    answers.set(apiSubject('bots.stop'), { ok: false, problem });
    await expect(client().call('bots.stop', { name: 'b1' })).rejects.toMatchObject({
      code: 'stale_generation',
      detail: 'Read the bot again.',
    });
  });

  it('says so when nobody serves an operation', async () => {
    // With a round trip: the broker knows of it.
    await services.drain();
    try {
      await expect(client().call('hosts.list', {})).rejects.toMatchObject({ code: 'unavailable' });
      const ready = await fetch(`${url}/readyz`);
      expect(ready.status).toBe(503);
      expect(await ready.json()).toEqual({
        status: 'degraded',
        components: { nats: 'ok', scheduler: 'unavailable', audit: 'unavailable', secrets: 'unavailable' },
      });
      expect((await fetch(`${url}/healthz`)).status).toBe(200);
    } finally {
      services = await nats.connect();
      services.subscribe('fleet.v1.>', {
        callback: (_, message) => {
          const answer = answers.get(message.subject);
          asked.push({ subject: message.subject, body: message.json(), actor: undefined });
          if (answer !== undefined && message.reply !== undefined) message.respond(JSON.stringify(answer));
        },
      });
      await services.flush();
    }
  });

  it('seals a password before it leaves, to the key of the secrets service', async () => {
    const password = `canary-${newId()}`;
    answer('credentials.key', { key: sealing.publicJwk });
    answer('credentials.set', {
      ...{ account: 'acme-1', version: 1, updatedAt: new Date().toISOString(), updatedBy: 'user:admin' },
      lastGrantedAt: null,
    });
    await client().setPassword('acme-1', password);
    const sent = lastAsked(apiSubject('credentials.set'))?.body as { account: string; sealed: string };
    expect(sent.account).toBe('acme-1');
    const opened = Buffer.from(await sealing.open(sent.sealed)).toString('utf8');
    expect(JSON.parse(opened)).toEqual({ account: 'acme-1', password });
    expect(JSON.stringify(asked)).not.toContain(password);
    expect(log.join('')).not.toContain(password);
  });

  it('streams events as they happen, one kind on request, and goes on from Last-Event-ID', async () => {
    const signer = await SigningKey.generate();
    const incarnation = newId();
    const publish = async (type: 'tradefleet.tenant.created' | 'tradefleet.host.ready', sequence: number) => {
      const data = {
        'tradefleet.tenant.created': { tenant: 'acme', generation: 1 },
        'tradefleet.host.ready': { host: 'host-a', incarnation, reason: null },
      };
      await messaging.publishDurable(
        await encodeSignedEvent(
          {
            ...{
              type,
              subjectId: 'x',
              actor: 'user:admin',
              id: newId(),
              source: '/scheduler',
              incarnation,
              sequence,
            },
            data: data[type],
            time: new Date().toISOString(),
          },
          signer,
        ),
      );
    };
    const ended = new AbortController();
    const all: string[] = [];
    const response = await http('/api/v1/events/stream?entity=host', { signal: ended.signal });
    expect(response.headers.get('content-type')).toContain('text/event-stream');
    const stream = client().events((event) => void all.push(`${event.type} ${event.sequence}`), ended.signal);
    const reader = response.body?.getReader();
    expect(Buffer.from((await reader?.read())?.value ?? []).toString()).toBe(': open\n\n');
    await waitFor(async () => {
      await publish('tradefleet.tenant.created', 1);
      return all.length > 0;
    });
    await publish('tradefleet.host.ready', 2);
    await waitFor(() => all.includes('tradefleet.host.ready 2'));
    const text = Buffer.from((await reader?.read())?.value ?? []).toString();
    expect(text).toContain('"type":"tradefleet.host.ready"');
    const id = Number(/id: (\d+)/.exec(text)?.[1]);
    const again = await http('/api/v1/events/stream', {
      headers: { 'last-event-id': String(id - 1) },
      signal: ended.signal,
    });
    const againReader = again.body?.getReader();
    let seen = '';
    while (!seen.includes(`id: ${id}\n`))
      seen += Buffer.from((await againReader?.read())?.value ?? []).toString();
    ended.abort();
    await expect(stream).rejects.toThrow();
  });

  it('describes itself', async () => {
    const page = await fetch(`${url}/api/docs`);
    expect(page.status).toBe(200);
    const document = (await (await fetch(`${url}/api/docs-json`)).json()) as { paths: object };
    expect(Object.keys(document.paths).length).toBeGreaterThan(20);
  });
});

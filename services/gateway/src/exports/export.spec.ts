import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { apiSubject, type EventPage, type FleetEvent, newId, ProblemError } from '#libs/contracts';
import { connectMessaging, type Messaging, SigningKey } from '#libs/messaging';
import { createLogger } from '#libs/telemetry';
import { aPublicKey, startNats, type TestNats, waitFor } from '#libs/testing';
import type { NatsConnection } from '@nats-io/transport-node';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { mkdtemp, rm } from 'node:fs/promises';
import { get, type IncomingMessage } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createGateway } from '../gateway.server.js';

const adminToken = 'a-token-of-more-than-thirty-two-characters';
const authorization = `Bearer ${adminToken}`;

const anEvent = (position: number, detail = 'x'): FleetEvent => ({
  ...{ id: newId(), source: '/scheduler', type: 'tradefleet.bot.created' },
  ...{ time: new Date(Date.UTC(2026, 0, 1) + position).toISOString(), subject: 'bot/b1', sequence: 1 },
  ...{ incarnation: newId(), actor: 'user:admin', entity: 'bot', entityId: 'b1', severity: 'notice' },
  data: { detail },
  position,
});

type Asked = Record<string, unknown> & { after?: string };

describe('events export', () => {
  let nats: TestNats;
  let services: NatsConnection;
  let messaging: Messaging;
  let app: NestFastifyApplication;
  let url: string;
  let folder: string;
  const log: string[] = [];
  let asked: Asked[] = [];
  /** Stands for the audit service: `after` of a page is the number of the next. Null: no answer. */
  let pageOf: (number: number) => EventPage | ProblemError | null;

  async function start(): Promise<void> {
    const logger = createLogger({
      service: 'gateway',
      level: 'debug',
      destination: { write: (line: string) => void log.push(line) },
    });
    messaging = await connectMessaging({ servers: nats.url, name: 'gateway-spec', logger });
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
  }

  beforeAll(async () => {
    nats = await startNats();
    folder = await mkdtemp(join(tmpdir(), 'tradefleet-gateway-'));
    services = await nats.connect();
    services.subscribe(apiSubject('events.query'), {
      callback: (_, message) => {
        const request = message.json<Asked>();
        asked.push(request);
        const page = pageOf(Number(request.after ?? 0));
        if (page instanceof ProblemError)
          message.respond(JSON.stringify({ ok: false, problem: page.toProblem() }));
        else if (page !== null) message.respond(JSON.stringify({ ok: true, result: page }));
      },
    });
    await services.flush();
    await start();
  });
  afterAll(async () => {
    await app.close();
    await services.close();
    await nats.stop();
    await rm(folder, { recursive: true, force: true });
  });
  beforeEach(() => {
    asked = [];
    log.length = 0;
  });

  const pages =
    (count: number, page: (number: number) => FleetEvent[] = (number) => [anEvent(number)]) =>
    (number: number): EventPage => ({
      events: page(number),
      next: number + 1 < count ? String(number + 1) : null,
    });
  const ask = (query: string) => fetch(`${url}/api/v1/events/export${query}`, { headers: { authorization } });

  /** A client that reads nothing until it is told. */
  async function slowly(query: string): Promise<IncomingMessage> {
    return await new Promise((resolve, reject) => {
      get(`${url}/api/v1/events/export${query}`, { headers: { authorization } }, (response) => {
        response.pause();
        resolve(response);
      }).once('error', reject);
    });
  }

  /** Pages of half a megabyte: what the kernel keeps for a connection is soon full. */
  const largePages = (count: number) => pages(count, (number) => [anEvent(number, 'x'.repeat(500_000))]);
  const isWaiting = async () => {
    let before = -1;
    await waitFor(
      () => {
        const same = asked.length === before;
        before = asked.length;
        return same && asked.length > 1;
      },
      { intervalMs: 300, what: 'no further page to be asked for' },
    );
  };

  it('writes all pages, one event a line, with the filters it was given', async () => {
    pageOf = pages(5, (number) => [anEvent(2 * number), anEvent(2 * number + 1)]);
    const response = await ask('?entity=bot&severity=warning&from=2026-01-01T00:00:00Z&text=a%20b');
    expect(response.headers.get('content-type')).toContain('application/x-ndjson');
    const lines = (await response.text()).trimEnd().split('\n');
    expect(lines.map((line) => (JSON.parse(line) as FleetEvent).position)).toEqual(
      Array.from({ length: 10 }, (_, n) => n),
    );
    const filter = { entity: 'bot', severity: 'warning', from: '2026-01-01T00:00:00Z', text: 'a b' };
    const paging = { order: 'asc', limit: 500 };
    expect(asked).toEqual([
      { ...filter, ...paging },
      ...[1, 2, 3, 4].map((after) => ({ ...filter, ...paging, after: String(after) })),
    ]);
  });

  it('writes CSV in which no value is a formula', async () => {
    pageOf = pages(1, () => [
      { ...anEvent(7), entityId: '-1+cmd', actor: '=HYPERLINK("http://x")', data: { detail: 'a,"b"\nc' } },
    ]);
    const response = await ask('?format=csv');
    expect(response.headers.get('content-type')).toContain('text/csv');
    expect(response.headers.get('content-disposition')).toContain('events.csv');
    const [head, row, rest] = (await response.text()).split('\r\n');
    expect(head).toBe(
      'position,time,id,type,severity,entity,entityId,actor,source,incarnation,sequence,traceparent,data',
    );
    expect(row).toContain(`,bot,"'-1+cmd","'=HYPERLINK(""http://x"")",/scheduler,`);
    expect(row).toMatch(/,1,,"{""detail"":""a,\\""b\\""\\nc""}"$/);
    expect(rest).toBe('');
  });

  it('is empty where nothing fits', async () => {
    pageOf = () => ({ events: [], next: null });
    expect(await (await ask('')).text()).toBe('');
    expect((await (await ask('?format=csv')).text()).split('\r\n')).toHaveLength(2);
  });

  it.each([
    ['an unknown format', '?format=xml'],
    ['an unknown filter', '?who=me'],
    ['a field twice', '?entity=bot&entity=host'],
    ['a time that is none', '?from=yesterday'],
    ['a page', '?limit=5'],
  ])('refuses %s', async (_, query) => {
    const response = await ask(query);
    expect(response.status).toBe(400);
    expect(((await response.json()) as { code: string }).code).toBe('invalid_request');
    expect(asked).toEqual([]);
  });

  it('wants a token', async () => {
    expect((await fetch(`${url}/api/v1/events/export`)).status).toBe(401);
    expect(asked).toEqual([]);
  });

  it('answers as any request does when not even the first page comes', async () => {
    pageOf = () => new ProblemError('query_too_costly', 'Ask for less.');
    const response = await ask('');
    expect(response.status).toBe(422);
    expect(response.headers.get('content-type')).toContain('application/problem+json');
  });

  it('asks for no more than its reader reads, and goes on when he does', async () => {
    pageOf = largePages(60);
    const response = await slowly('');
    await isWaiting();
    // What is in flight: buffers of the kernel on both sides, one page written and one asked for.
    expect(asked.length).toBeLessThan(30);
    let bytes = 0;
    response.on('data', (chunk: Buffer) => (bytes += chunk.length)).resume();
    await new Promise((resolve) => response.once('end', resolve));
    expect(asked).toHaveLength(60);
    expect(bytes).toBeGreaterThan(60 * 500_000);
  });

  it('asks no more once the client has gone', async () => {
    pageOf = largePages(1000);
    const response = await slowly('');
    await isWaiting();
    response.destroy();
    await waitFor(() => log.some((line) => line.includes('the client has gone')));
    const before = asked.length;
    pageOf = pages(1);
    await (await ask('')).text();
    expect(asked).toHaveLength(before + 1);
  });

  it.each([
    ['ndjson', /\n\{"error":\{.*"code":"internal".*\}\n$/],
    ['csv', /\r\nerror,internal,Report it\.,,,,,,,,,,\r\n$/],
  ])('ends with the error and a broken connection when %s fails in the middle', async (format, end) => {
    pageOf = (number) => (number < 3 ? pages(9)(number) : new ProblemError('internal', 'Report it.'));
    const response = await ask(`?format=${format}`);
    let text = '';
    const reading = (async () => {
      for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>)
        text += Buffer.from(chunk).toString();
    })();
    await expect(reading).rejects.toThrow('terminated');
    expect(text).toMatch(end);
    expect(text.trimEnd().split('\n')).toHaveLength(format === 'csv' ? 5 : 4);
  });

  it('waits for an audit service that is away for a moment', async () => {
    let failures = 0;
    pageOf = (number) =>
      number === 2 && (failures += 1) <= 2
        ? new ProblemError('unavailable', 'It restarts.')
        : pages(4)(number);
    expect((await (await ask('')).text()).trimEnd().split('\n')).toHaveLength(4);
    expect(failures).toBe(3);
  });

  it('runs a bounded number at a time', async () => {
    pageOf = largePages(1000);
    const open = await Promise.all(Array.from({ length: 8 }, () => slowly('')));
    const response = await ask('');
    expect(response.status).toBe(503);
    for (const one of open) one.destroy();
    pageOf = pages(1);
    await waitFor(async () => (await ask('')).status === 200);
  });

  it('tells its readers when the gateway stops, and does not wait for the audit service', async () => {
    pageOf = (number) => (number < 2 ? pages(9)(number) : null);
    const response = await ask('');
    let text = '';
    const reading = (async () => {
      for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>)
        text += Buffer.from(chunk).toString();
    })();
    const failed = expect(reading).rejects.toThrow('terminated');
    await waitFor(() => asked.length === 3);
    await app.close();
    await failed;
    expect(text).toMatch(/\{"error":\{.*"code":"unavailable".*stopping.*\}\n$/);
    await start();
  });
});

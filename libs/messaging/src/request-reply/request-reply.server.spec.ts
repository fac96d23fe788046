import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import {
  CallHandler,
  CanActivate,
  Controller,
  ExecutionContext,
  Inject,
  Injectable,
  Scope,
  UseGuards,
  UseInterceptors,
  type INestMicroservice,
  type NestInterceptor,
} from '@nestjs/common';
import { Ctx, Payload } from '@nestjs/microservices';
import { headers, type NatsConnection } from '@nats-io/transport-node';
import { map } from 'rxjs';
import { z } from 'zod';
import {
  apiSubject,
  limits,
  Name,
  ProblemError,
  signatureHeader,
  subjects,
  type ApiParsed,
  type ApiResponse,
} from '#libs/contracts';
import { requestContext, traceIdOf } from '#libs/telemetry';
import { startNats, waitFor, type TestNats } from '#libs/testing';
import type { Messaging } from '../messaging.js';
import { SigningKey } from '../signing/signing-key.js';
import { verifySignature } from '../signing/signature.js';
import { connected, recordingLogger, serve, signal } from '../testing/fleet.fixture.js';
import { Api, Request } from './request.decorator.js';
import { RequestContext, SignedReply } from './request-context.js';
import { RequestReplyServer, type RequestReplyOptions } from './request-reply.server.js';

let nats: TestNats;
let raw: NatsConnection;
let messaging: Messaging;
let log = recordingLogger();
const apps: INestMicroservice[] = [];

beforeAll(async () => {
  nats = await startNats();
  raw = await nats.connect();
  log = recordingLogger();
  messaging = await connected(nats, { logger: log.logger });
});
afterEach(async () => {
  for (const app of apps.splice(0)) await app.close();
});
afterAll(async () => {
  await raw.close();
  await messaging.drain();
  await nats.stop();
});

async function start(controllers: Parameters<typeof serve>[0], options: Partial<RequestReplyOptions> = {}) {
  const server = new RequestReplyServer(messaging, { queue: 'test', ...options });
  const app = await serve(controllers, server, log.logger);
  apps.push(app);
  return app;
}

interface PlainAnswer {
  ok: boolean;
  result?: unknown;
  problem?: { code: string; status: number; detail: string; traceId?: string; errors?: { path: string }[] };
}

/** What a stock client sees. */
async function ask(subject: string, body: string | Uint8Array, sent: Record<string, string> = {}) {
  const hdrs = headers();
  for (const [name, value] of Object.entries(sent)) hdrs.set(name, value);
  const message = await raw.request(subject, body, { timeout: 10_000, headers: hdrs });
  return {
    answer: message.json<PlainAnswer>(),
    code: message.headers?.get('Nats-Service-Error-Code'),
    error: message.headers?.get('Nats-Service-Error'),
    signature: message.headers?.get(signatureHeader),
    bytes: message.data,
  };
}

const tenant = (name: string): ApiResponse<'tenants.get'> => ({
  name,
  displayName: name,
  quotas: { bots: null, cpuMillis: null, memoryMiB: null },
  used: { bots: 0, cpuMillis: 0, memoryMiB: 0 },
  priority: 50,
  generation: 1,
  createdAt: '2026-01-01T00:00:00.000Z',
  createdBy: 'user:test',
});

const seen: { actor: string; traceparent: string; ambientActor: string | undefined; depth: string }[] = [];

@Controller()
class Tenants {
  @Api('tenants.get')
  get(@Payload() body: ApiParsed<'tenants.get'>, @Ctx() context: RequestContext): ApiResponse<'tenants.get'> {
    seen.push({
      actor: context.actor,
      traceparent: context.traceparent,
      ambientActor: requestContext.getStore()?.actor,
      depth: context.subject,
    });
    if (body.name === 'missing') throw new ProblemError('tenant_not_found', 'Make the tenant missing first.');
    if (body.name === 'defect') throw new TypeError('secret-of-the-defect');
    return tenant(body.name);
  }

  @Api('tenants.list')
  async list(@Payload() body: ApiParsed<'tenants.list'>): Promise<ApiResponse<'tenants.list'>> {
    return { tenants: [], next: String(body.limit) };
  }
}

describe('a stock client', () => {
  beforeAll(() => {
    seen.splice(0);
  });

  it('sends plain JSON and gets plain JSON', async () => {
    await start([Tenants]);
    const { answer, code } = await ask(apiSubject('tenants.get'), '{"name":"acme"}');
    expect(answer).toEqual({ ok: true, result: tenant('acme') });
    expect(code).toBe('');
    expect(seen.at(-1)?.actor).toBe('nats:anonymous');
  });

  it('may send nothing where nothing is needed, and defaults are filled in', async () => {
    await start([Tenants]);
    const { answer } = await ask(apiSubject('tenants.list'), '');
    expect(answer).toEqual({ ok: true, result: { tenants: [], next: '100' } });
  });

  it('is known by the actor and trace it names', async () => {
    await start([Tenants]);
    const traceparent = `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`;
    await ask(apiSubject('tenants.get'), '{"name":"acme"}', { 'tradefleet-actor': 'user:eve', traceparent });
    expect(seen.at(-1)).toMatchObject({ actor: 'user:eve', traceparent, ambientActor: 'user:eve' });
  });
});

describe('refusals', () => {
  const refused: [string, string, string | Uint8Array, string, number][] = [
    ['malformed JSON', 'tenants.get', '{"name":', 'malformed_json', 400],
    ['bytes that are no UTF-8', 'tenants.get', Uint8Array.of(0x22, 0xff, 0x22), 'malformed_json', 400],
    ['an unknown field', 'tenants.get', '{"name":"acme","nmae":1}', 'invalid_request', 400],
    ['a wrong type', 'tenants.get', '{"name":7}', 'invalid_request', 400],
    ['an array', 'tenants.get', '[]', 'invalid_request', 400],
    [
      'a body that is too large',
      'tenants.get',
      `{"name":"${'a'.repeat(limits.message_bytes_max)}"}`,
      'payload_too_large',
      413,
    ],
    ["the handler's own problem", 'tenants.get', '{"name":"missing"}', 'tenant_not_found', 404],
    ['a defect', 'tenants.get', '{"name":"defect"}', 'internal', 500],
  ];
  it.each(refused)('%s', async (_what, name, body, code, status) => {
    const told: [string, string][] = [];
    await start([Tenants], { onRefused: (operation, problem) => void told.push([operation, problem.code]) });
    const reply = await ask(apiSubject(name as 'tenants.get'), body);
    expect(reply.answer).toMatchObject({ ok: false, problem: { code, status } });
    expect([reply.code, reply.error]).toEqual([String(status), code]);
    expect(JSON.stringify(reply.answer)).not.toContain('secret-of-the-defect');
    await waitFor(() => told.length > 0, { what: 'the refusal to be told' });
    expect(told).toEqual([[name, code]]);
  });

  it('names the fields that do not fit and the trace to look for', async () => {
    await start([Tenants]);
    const { answer } = await ask(apiSubject('tenants.get'), '{"name":"No Good"}');
    expect(answer.problem?.errors?.map(({ path }) => path)).toEqual(['name']);
    expect(answer.problem?.traceId).toMatch(/^[0-9a-f]{32}$/);
  });

  it('logs a defect under the trace id of the answer, with its words', async () => {
    await start([Tenants]);
    const { answer } = await ask(apiSubject('tenants.get'), '{"name":"defect"}');
    const lines = log.lines.filter((line) => JSON.stringify(line).includes('secret-of-the-defect'));
    expect(lines.map((line) => line.traceId)).toContain(answer.problem?.traceId);
  });

  it('refuses an actor that is none', async () => {
    await start([Tenants]);
    const { answer } = await ask(apiSubject('tenants.get'), '{"name":"acme"}', {
      'tradefleet-actor': 'root',
    });
    expect(answer.problem?.code).toBe('invalid_request');
  });

  it('goes on when recording a refusal fails', async () => {
    await start([Tenants], {
      onRefused: () => {
        throw new Error('audit away');
      },
    });
    for (let times = 0; times < 2; times++) {
      const { answer } = await ask(apiSubject('tenants.get'), '{');
      expect(answer.problem?.code).toBe('malformed_json');
    }
  });

  it('never logs a password that was sent', async () => {
    await start([Tenants]);
    const secret = 'Tr0ub4dor-and-3';
    await ask(apiSubject('tenants.get'), `{"name":"acme","password":"${secret}"}`);
    await ask(apiSubject('tenants.get'), `{"password":"${secret}"`);
    await ask(apiSubject('tenants.get'), `{"name":"defect","password":"${secret}"}`);
    expect(log.lines.length).toBeGreaterThan(0);
    expect(log.text()).not.toContain(secret);
  });

  it('answers to inboxes only', async () => {
    await start([Tenants]);
    const elsewhere: string[] = [];
    const subscription = raw.subscribe('fleet.v1.host.h1.cmd.start', {
      callback: (_error, message) => void elsewhere.push(message.subject),
    });
    raw.publish(apiSubject('tenants.get'), '{"name":"acme"}', { reply: 'fleet.v1.host.h1.cmd.start' });
    await ask(apiSubject('tenants.get'), '{"name":"acme"}');
    await raw.flush();
    expect(elsewhere).toEqual([]);
    subscription.unsubscribe();
  });
});

describe('bounds', () => {
  const open = { release: signal(), running: 0, most: 0 };

  @Controller()
  class Slow {
    @Api('tenants.list')
    async list(): Promise<ApiResponse<'tenants.list'>> {
      open.running++;
      open.most = Math.max(open.most, open.running);
      await open.release.promise;
      open.running--;
      return { tenants: [], next: null };
    }

    @Request(subjects.heartbeat('*'), z.strictObject({}))
    beat(): string {
      return 'alive';
    }

    @Api('tenants.get', { waits: true })
    async get(@Payload() body: ApiParsed<'tenants.get'>): Promise<ApiResponse<'tenants.get'>> {
      return tenant(body.name);
    }
  }

  it('runs so many at a time, keeps so many waiting and answers the rest unavailable', async () => {
    Object.assign(open, { release: signal(), running: 0, most: 0 });
    await start([Slow], { concurrencyMax: 2, queueMax: 3 });
    const asked = Array.from({ length: 9 }, () => ask(apiSubject('tenants.list'), '{}'));
    await waitFor(() => open.running === 2, { what: 'two to run' });
    const early = await Promise.race(asked);
    expect(early.answer.problem?.code).toBe('unavailable');
    open.release.resolve();
    const answers = await Promise.all(asked);
    expect(answers.filter(({ answer }) => answer.ok)).toHaveLength(5);
    expect(answers.filter(({ answer }) => answer.problem?.code === 'unavailable')).toHaveLength(4);
    expect(open.most).toBe(2);
  });

  it('keeps heartbeats and long polls going while the API is flooded', async () => {
    Object.assign(open, { release: signal(), running: 0, most: 0 });
    await start([Slow], { concurrencyMax: 1, queueMax: 1 });
    const asked = Array.from({ length: 3 }, () => ask(apiSubject('tenants.list'), '{}'));
    await Promise.race(asked);
    expect((await ask(subjects.heartbeat('h1'), '{}')).answer).toEqual({ ok: true, result: 'alive' });
    expect((await ask(apiSubject('tenants.get'), '{"name":"acme"}')).answer.ok).toBe(true);
    open.release.resolve();
    await Promise.all(asked);
  });

  it('finishes what runs at a shutdown and answers what comes then unavailable', async () => {
    Object.assign(open, { release: signal(), running: 0, most: 0 });
    const app = await start([Slow], { concurrencyMax: 1, queueMax: 5 });
    const first = ask(apiSubject('tenants.list'), '{}');
    await waitFor(() => open.running === 1, { what: 'the first to run' });
    const waiting = ask(apiSubject('tenants.list'), '{}');
    await raw.flush();
    const closed = app.close();
    expect((await waiting).answer.problem?.code).toBe('unavailable');
    const late = await messaging.request(apiSubject('tenants.list'), {}).catch((error: unknown) => error);
    expect(late).toMatchObject({ code: 'unavailable' });
    open.release.resolve();
    expect((await first).answer.ok).toBe(true);
    await closed;
    apps.pop();
  });

  it('does not wait for ever at a shutdown', async () => {
    Object.assign(open, { release: signal(), running: 0, most: 0 });
    const app = await start([Slow], { graceMs: 50 });
    const stuck = ask(apiSubject('tenants.list'), '{}').catch(() => null);
    await waitFor(() => open.running === 1, { what: 'the request to run' });
    await app.close();
    apps.pop();
    expect(open.running).toBe(1);
    open.release.resolve();
    await stuck;
  });
});

describe('internal requests', () => {
  const key = SigningKey.generate();

  @Controller()
  class Agents {
    @Request(subjects.register('*'), z.strictObject({ host: Name }))
    register(@Payload() body: { host: string }, @Ctx() context: RequestContext): unknown {
      context.reply({ 'x-extra': 'yes' });
      return {
        body,
        token: context.hostToken,
        bytes: Buffer.from(context.rawBody).toString('utf8'),
      };
    }

    @Request(subjects.heartbeat('*'), z.strictObject({}))
    heartbeat(): SignedReply {
      return new SignedReply({ leases: [] });
    }
  }

  @Controller()
  class Logs {
    @Request(subjects.agentLogs('*'), z.strictObject({}))
    logs(@Payload() _body: object, @Ctx() context: RequestContext): string | undefined {
      return context.hostToken;
    }
  }

  it('tells the host token of the subject and the bytes as they came', async () => {
    await start([Agents]);
    const { answer } = await ask(subjects.register('h7'), '{ "host" : "h7" }');
    expect(answer.result).toEqual({ body: { host: 'h7' }, token: 'h7', bytes: '{ "host" : "h7" }' });
  });

  it('signs what is returned as a signed reply, over its exact bytes', async () => {
    const replySigner = await key;
    await start([Agents], { replySigner });
    const reply = await ask(subjects.heartbeat('h7'), '{}');
    await verifySignature(reply.bytes, reply.signature, replySigner.publicJwk);
    const other = await SigningKey.generate();
    await expect(
      messaging.request(subjects.heartbeat('h7'), {}, { verify: replySigner.publicJwk }),
    ).resolves.toEqual({ leases: [] });
    await expect(
      messaging.request(subjects.heartbeat('h7'), {}, { verify: other.publicJwk }),
    ).rejects.toMatchObject({ code: 'bad_signature' });
    await expect(
      messaging.request(subjects.register('h7'), { host: 'h7' }, { verify: replySigner.publicJwk }),
    ).rejects.toMatchObject({ code: 'bad_signature' });
  });

  it('does not answer unsigned where a signature was meant', async () => {
    await start([Agents]);
    const { answer } = await ask(subjects.heartbeat('h7'), '{}');
    expect(answer.problem?.code).toBe('internal');
  });

  it("serves an agent's own host only", async () => {
    await start([Logs], { host: 'h1' });
    expect((await ask(subjects.agentLogs('h1'), '{}')).answer.result).toBe('h1');
    await expect(ask(subjects.agentLogs('h2'), '{}')).rejects.toThrow(/no responders/i);
  });
});

describe('Nest', () => {
  @Injectable()
  class OnlyEve implements CanActivate {
    canActivate(context: ExecutionContext): boolean {
      const { actor } = context.switchToRpc().getContext<RequestContext>();
      if (actor === 'user:mallory') throw new ProblemError('unauthenticated', 'Say who you are.');
      return actor === 'user:eve';
    }
  }
  @Injectable()
  class Wrapping implements NestInterceptor {
    intercept(_context: ExecutionContext, next: CallHandler) {
      return next.handle().pipe(map((result: ApiResponse<'tenants.get'>) => ({ ...result, generation: 42 })));
    }
  }
  @Injectable({ scope: Scope.REQUEST })
  class PerRequest {
    private static made = 0;
    readonly number = ++PerRequest.made;
  }

  @Controller()
  class Guarded {
    @Api('tenants.get')
    @UseGuards(OnlyEve)
    @UseInterceptors(Wrapping)
    get(@Payload() body: ApiParsed<'tenants.get'>): ApiResponse<'tenants.get'> {
      if (body.name === 'missing') throw new ProblemError('tenant_not_found', 'Make it first.');
      return tenant(body.name);
    }
  }

  it('runs guards and interceptors, whose problems cross as they are', async () => {
    await start([Guarded]);
    const as = async (actor: string, name = 'acme') =>
      (await ask(apiSubject('tenants.get'), JSON.stringify({ name }), { 'tradefleet-actor': actor })).answer;
    expect((await as('user:eve')).result).toEqual({ ...tenant('acme'), generation: 42 });
    expect((await as('user:adam')).problem?.code).toBe('forbidden');
    expect((await as('user:mallory')).problem?.code).toBe('unauthenticated');
    expect((await as('user:eve', 'missing')).problem?.code).toBe('tenant_not_found');
  });

  it('serves request-scoped controllers', async () => {
    @Controller({ scope: Scope.REQUEST })
    class Scoped {
      constructor(@Inject(RequestNumber) private readonly per: { number: number }) {}

      @Request(subjects.internal('test', 'scoped'), z.strictObject({}))
      number(): number {
        if (this.per.number > 2) throw new ProblemError('rate_limited', 'Enough.');
        return this.per.number;
      }
    }
    const { NestFactory } = await import('@nestjs/core');
    const { Module } = await import('@nestjs/common');
    @Module({ controllers: [Scoped], providers: [{ provide: RequestNumber, useClass: PerRequest }] })
    class ScopedModule {}
    const app = await NestFactory.createMicroservice(ScopedModule, {
      strategy: new RequestReplyServer(messaging, { queue: 'scoped' }),
      logger: false,
    });
    await app.listen();
    apps.push(app);
    const numbers = [];
    for (let times = 0; times < 3; times++)
      numbers.push((await ask(subjects.internal('test', 'scoped'), '{}')).answer);
    expect(numbers.slice(0, 2)).toEqual([
      { ok: true, result: 1 },
      { ok: true, result: 2 },
    ]);
    expect(numbers[2]?.problem?.code).toBe('rate_limited');
  });

  it('refuses to start with two handlers of one subject', async () => {
    await expect(start([Tenants, Guarded])).rejects.toThrow(
      /Two handlers serve fleet\.v1\.api\.tenants\.get/,
    );
  });
});

const RequestNumber = Symbol('RequestNumber');

describe('traces', () => {
  it('continue from the requester into the handler', async () => {
    await start([Tenants]);
    const { runWithContext, newTraceparent } = await import('#libs/telemetry');
    const traceparent = newTraceparent();
    await runWithContext({ actor: 'service:gateway', traceparent }, async () =>
      messaging.call('tenants.get', { name: 'acme' }),
    );
    const last = seen.at(-1);
    expect(last?.actor).toBe('service:gateway');
    expect(traceIdOf(last?.traceparent ?? '')).toBe(traceIdOf(traceparent));
    expect(last?.traceparent).not.toBe(traceparent);
  });
});

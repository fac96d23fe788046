import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { jetstreamManager } from '@nats-io/jetstream';
import { errors, type NatsConnection } from '@nats-io/transport-node';
import {
  apiNames,
  apiSubject,
  consumers,
  eventTypes,
  eventTypeParts,
  streams,
  subjects,
} from '#libs/contracts';
import { z } from 'zod';
import { natsServerPath, startNats, waitFor, type TestNats } from '#libs/testing';
import { inboxPrefixOf } from '../connection.js';
import type { Messaging } from '../messaging.js';
import { provision } from '../provision.js';
import { RequestReplyServer } from '../request-reply/request-reply.server.js';
import { connected } from '../testing/fleet.fixture.js';
import { eventProducers } from './event-producers.js';
import { natsPermissions, natsUserName, type NatsUser } from './nats-permissions.js';
import { natsServerConfig, type NatsServerConfig } from './nats-server-config.js';

const users: NatsUser[] = [
  'scheduler',
  'audit',
  'secrets',
  'gateway',
  'client',
  { agent: 'h1' },
  { agent: 'h2' },
];
/** Everything a careless renderer would let out of its quotes. */
const passwordOf = (user: NatsUser): string => `${natsUserName(user)} "q' \\ $HOME #{}[] // ü ; end`;

/** `startNats` gives the store on the command line, and the server refuses it twice. */
const withoutStore = (config: NatsServerConfig): string =>
  natsServerConfig(config).replace(/^ {2}store_dir: .*$/m, '');

let nats: TestNats;
beforeAll(async () => {
  nats = await startNats({
    config: ({ port, storeDir }) =>
      withoutStore({
        port,
        storeDir,
        users: users.map((user) => ({
          user: natsUserName(user),
          password: passwordOf(user),
          permissions: natsPermissions(user),
        })),
      }),
  });
});
afterAll(async () => {
  await nats.stop();
});

async function rawAs(user: NatsUser): Promise<NatsConnection> {
  return nats.connect({
    user: natsUserName(user),
    pass: passwordOf(user),
    ...(user === 'client' ? {} : { inboxPrefix: inboxPrefixOf(natsUserName(user)) }),
  });
}

async function messagingAs(user: NatsUser): Promise<Messaging> {
  return connected(nats, { user: natsUserName(user), password: passwordOf(user) });
}

async function mayPublish(connection: NatsConnection, subject: string): Promise<boolean> {
  const violations: string[] = [];
  const status = connection.status();
  const watching = (async () => {
    for await (const notice of status)
      if (notice.type === 'error' && notice.error instanceof errors.PermissionViolationError)
        violations.push(notice.error.subject);
  })();
  connection.publish(subject, '{}');
  await connection.flush();
  // The server's answer to the flush comes after its error; the iterator needs a turn to hand it on.
  await new Promise((resolve) => setImmediate(resolve));
  if ('stop' in status && typeof status.stop === 'function') (status.stop as () => void)();
  await watching;
  return !violations.includes(subject);
}

async function maySubscribe(connection: NatsConnection, subject: string): Promise<boolean> {
  const errorsSeen: Error[] = [];
  const refused = (): boolean => errorsSeen.some((error) => error instanceof errors.PermissionViolationError);
  const subscription = connection.subscribe(subject, {
    callback: (error) => {
      if (error !== null) errorsSeen.push(error);
    },
  });
  await connection.flush();
  await new Promise((resolve) => setImmediate(resolve));
  subscription.unsubscribe();
  return !refused();
}

const evt = (entity: string, what: string): string => subjects.event(entity, 'x', what);
const jsApi = (rest: string): string => `$JS.API.${rest}`;

/** Subject -> who may publish; all others may not. */
const publishers: [string, string[]][] = [
  [apiSubject('bots.create'), ['gateway', 'client']],
  [apiSubject('credentials.set'), ['gateway', 'client']],
  [apiSubject('accounts.get'), ['gateway', 'client', 'secrets']],
  [subjects.command('h1', 'start'), ['scheduler']],
  [subjects.command('h2', 'stop'), ['scheduler']],
  [subjects.register('h1'), ['agent-h1']],
  [subjects.heartbeat('h1'), ['agent-h1']],
  [subjects.heartbeat('h2'), ['agent-h2']],
  [subjects.grant('h2'), ['agent-h2']],
  [subjects.watermark('h1'), ['agent-h1']],
  [subjects.agentLogs('h1'), ['gateway']],
  [subjects.internal('allocations', 'check'), ['secrets']],
  [subjects.internal('scheduler', 'health'), ['gateway']],
  [subjects.internal('audit', 'watermark'), ['scheduler', 'secrets', 'gateway']],
  [subjects.internal('anything', 'else'), []],
  [evt('allocation', 'running'), ['agent-h1', 'agent-h2']],
  [evt('allocation', 'placed'), ['scheduler']],
  [evt('allocation', 'failed'), ['agent-h1', 'agent-h2', 'scheduler']],
  [evt('bot', 'created'), ['scheduler']],
  [evt('grant', 'issued'), ['secrets']],
  [evt('session', 'refused'), ['gateway']],
  [evt('nonsense', 'made-up'), []],
  [subjects.deadLetter('agent-h1'), ['agent-h1']],
  [subjects.deadLetter('audit'), ['audit']],
  [subjects.logCheckpoint(), ['audit']],
  [jsApi('CONSUMER.MSG.NEXT.COMMANDS.agent-h1'), ['agent-h1']],
  [jsApi('CONSUMER.MSG.NEXT.COMMANDS.agent-h2'), ['agent-h2']],
  [jsApi('CONSUMER.INFO.COMMANDS.agent-h2'), ['agent-h2', 'scheduler']],
  [jsApi('CONSUMER.CREATE.COMMANDS.agent-h1.fleet.v1.host.h1.cmd.>'), ['scheduler']],
  [jsApi('CONSUMER.CREATE.COMMANDS.agent-h1.other.>'), []],
  [jsApi('CONSUMER.CREATE.EVENTS.audit.fleet.v1.evt.>'), ['scheduler', 'gateway']],
  [jsApi('CONSUMER.CREATE.EVENTS'), []],
  [jsApi('CONSUMER.LIST.COMMANDS'), ['scheduler']],
  [jsApi('CONSUMER.LIST.EVENTS'), []],
  [jsApi('CONSUMER.DELETE.COMMANDS.agent-h1'), ['scheduler']],
  [jsApi('CONSUMER.DELETE.EVENTS.audit'), []],
  [jsApi('CONSUMER.DELETE.DEAD_LETTERS.x'), []],
  [jsApi('STREAM.CREATE.EVENTS'), ['scheduler']],
  [jsApi('STREAM.DELETE.EVENTS'), []],
  [jsApi('STREAM.PURGE.EVENTS'), []],
  [jsApi('STREAM.MSG.DELETE.EVENTS'), []],
  [jsApi('STREAM.MSG.GET.COMMANDS'), []],
  [jsApi('DIRECT.GET.COMMANDS'), []],
  ['$JS.ACK.COMMANDS.agent-h1.1.1.1.1.0', ['agent-h1']],
  ['$JS.ACK.EVENTS.audit.1.1.1.1.0', ['audit']],
  [`${inboxPrefixOf('agent-h1')}.steal`, []],
  ['$SYS.REQ.SERVER.PING', []],
  ['anything', []],
];

const subscribers: [string, string[]][] = [
  [apiSubject('bots.create'), ['scheduler']],
  [apiSubject('events.query'), ['audit']],
  [apiSubject('credentials.set'), ['secrets']],
  [subjects.register('*'), ['scheduler']],
  [subjects.grant('*'), ['secrets']],
  [subjects.watermark('*'), ['audit']],
  [subjects.agentLogs('h1'), ['agent-h1']],
  [subjects.agentLogs('*'), []],
  [subjects.internal('allocations', 'check'), ['scheduler']],
  [subjects.internal('audit', 'health'), ['audit']],
  [subjects.hostCommands('h1'), []],
  [subjects.eventsAll(), []],
  ['_INBOX.>', ['client']],
  [`${inboxPrefixOf('agent-h1')}.>`, ['agent-h1']],
  [`${inboxPrefixOf('scheduler')}.>`, ['scheduler']],
  ['_INBOX_scheduler.*', ['scheduler']],
  ['>', []],
  ['fleet.>', []],
  ['$SYS.>', []],
  ['$JS.>', []],
];

describe.each(users.map((user) => [natsUserName(user), user] as const))('%s', (name, user) => {
  let connection: NatsConnection;
  beforeAll(async () => {
    connection = await rawAs(user);
  });
  afterAll(async () => {
    await connection.close();
  });

  it.each(publishers)('publishes on %s if it is one of %j', async (subject, allowed) => {
    expect([subject, await mayPublish(connection, subject)]).toEqual([subject, allowed.includes(name)]);
  });

  it.each(subscribers)('subscribes to %s if it is one of %j', async (subject, allowed) => {
    expect([subject, await maySubscribe(connection, subject)]).toEqual([subject, allowed.includes(name)]);
  });
});

describe('the work that must be possible', () => {
  it('the scheduler provisions; an agent takes its own commands and publishes its events; audit reads them', async () => {
    const scheduler = await messagingAs('scheduler');
    const agent = await messagingAs({ agent: 'h1' });
    const audit = await messagingAs('audit');
    const gateway = await messagingAs('gateway');
    try {
      const request = {
        streams: Object.values(streams),
        consumers: [
          consumers.audit,
          consumers.schedulerProjection,
          consumers.agentCommands('h1'),
          consumers.agentCommands('h2'),
        ],
      };
      await provision(scheduler, request);
      await provision(scheduler, request);

      const tailed: string[] = [];
      const stop = await gateway.tail(subjects.eventsAll(), ({ subject }) => void tailed.push(subject), {
        newOnly: true,
      });

      await scheduler.publishDurable({
        subject: subjects.command('h1', 'start'),
        messageId: 'c1',
        body: '{}',
        headers: {},
      });
      const own = consumers.agentCommands('h1');
      const { js } = agent.internals();
      const command = await (await js.consumers.get(own.stream, own.durable)).next({ expires: 20_000 });
      expect(command?.subject).toBe(subjects.command('h1', 'start'));
      expect(await command?.ackAck()).toBe(true);

      const running = subjects.event('allocation', 'a1', 'running');
      await agent.publishDurable({ subject: running, messageId: 'e1', body: '{}', headers: {} });
      const { durable, stream } = consumers.audit;
      const event = await (
        await audit.internals().js.consumers.get(stream, durable)
      ).next({ expires: 20_000 });
      expect(event?.subject).toBe(running);
      expect(await event?.ackAck()).toBe(true);
      await waitFor(() => tailed.length > 0, { what: 'the event in the tail' });
      await stop();
    } finally {
      await Promise.all([scheduler, agent, audit, gateway].map((messaging) => messaging.drain()));
    }
  });

  it('an agent cannot pull the commands of another host', async () => {
    const connection = await rawAs({ agent: 'h1' });
    const other = consumers.agentCommands('h2');
    const manager = await jetstreamManager(connection, { checkAPI: false, timeout: 20_000 });
    await expect(manager.consumers.info(other.stream, other.durable)).rejects.toThrow(/permission/i);
    await connection.close();
  });

  it('an agent has nothing done in the name of the fleet by naming a reply subject', async () => {
    const scheduler = await messagingAs('scheduler');
    await provision(scheduler, {
      streams: Object.values(streams),
      consumers: [consumers.audit, consumers.agentCommands('h1'), consumers.agentCommands('h2')],
    });
    await scheduler.publishDurable({
      subject: subjects.command('h2', 'stop'),
      messageId: 'c2',
      body: '{}',
      headers: {},
    });
    const manager = await scheduler.manager();
    const stored = async () =>
      (await Promise.all(Object.values(streams).map(async ({ name }) => manager.streams.info(name)))).map(
        ({ config, state }) => [config.name, state.last_seq, state.consumer_count],
      );
    const before = await stored();
    const agent = await rawAs({ agent: 'h1' });
    const pull = jsApi('CONSUMER.MSG.NEXT.COMMANDS.agent-h1');
    // The answer to a pull that finds nothing is empty, as is an order to delete.
    const nothing = JSON.stringify({ batch: 1, no_wait: true });
    for (const order of [
      ...Object.values(streams).flatMap(({ name }) => [`STREAM.PURGE.${name}`, `STREAM.DELETE.${name}`]),
      'CONSUMER.DELETE.EVENTS.audit',
      'CONSUMER.DELETE.COMMANDS.agent-h2',
    ])
      agent.publish(pull, nothing, { reply: jsApi(order) });
    agent.publish(pull, nothing, { reply: subjects.command('h2', 'start') });
    agent.publish(jsApi('CONSUMER.INFO.COMMANDS.agent-h1'), '', { reply: subjects.command('h2', 'start') });
    agent.publish(evt('allocation', 'running'), '{}', { reply: subjects.command('h2', 'start') });
    // Answered in their order: this one last.
    await agent.request(pull, nothing, { timeout: 20_000 });
    await waitFor(async () => (await stored())[1]?.[1] === Number(before[1]?.[1]) + 1, {
      what: 'the event, which is allowed',
    });
    const [commands, [name, last, reading] = [], ...others] = before;
    expect(await stored()).toEqual([commands, [name, Number(last) + 1, reading], ...others]);
    await agent.close();
    await scheduler.drain();
  });

  it('agents and services ask each other across their accounts', async () => {
    const gateway = await messagingAs('gateway');
    const scheduler = await messagingAs('scheduler');
    const agent = await messagingAs({ agent: 'h1' });
    const answering = (messaging: Messaging, subject: string, queue: string) => {
      const server = new RequestReplyServer(messaging, { queue });
      const extras = {
        kind: 'request',
        name: subject,
        api: null,
        schema: z.strictObject({}),
        pool: 'internal',
      };
      server.addHandler(subject, () => Promise.resolve({ from: queue }), false, extras);
      return new Promise<RequestReplyServer>((resolve, reject) => {
        server.listen((error) => {
          if (error === undefined) resolve(server);
          else reject(new Error('The server does not listen', { cause: error }));
        });
      });
    };
    const logs = subjects.agentLogs('h1');
    await expect(gateway.request(logs, {}, { timeoutMs: 20_000 })).rejects.toMatchObject({
      code: 'unavailable',
    });
    const unheard = agent.request(subjects.heartbeat('h1'), {}, { timeoutMs: 20_000 });
    await expect(unheard).rejects.toMatchObject({ code: 'unavailable' });
    const servers = [
      await answering(agent, logs, 'agent-logs'),
      await answering(scheduler, subjects.heartbeat('*'), 'scheduler'),
    ];
    expect(await gateway.request(logs, {})).toEqual({ from: 'agent-logs' });
    expect(await agent.request(subjects.heartbeat('h1'), {})).toEqual({ from: 'scheduler' });
    await Promise.all(servers.map(async (server) => server.close()));
    await Promise.all([gateway, scheduler, agent].map(async (messaging) => messaging.drain()));
  });

  it('what is not allowed fails at once, as forbidden', async () => {
    const client = await messagingAs('client');
    await expect(client.request(subjects.register('h1'), {})).rejects.toMatchObject({ code: 'forbidden' });
    const event = { subject: evt('bot', 'created'), messageId: 'm', body: '{}', headers: {} };
    await expect(client.publishDurable(event)).rejects.toMatchObject({ code: 'forbidden' });
    await client.drain();
  });

  it('a requester with an inbox of its own is answered once', async () => {
    const scheduler = await rawAs('scheduler');
    const client = await rawAs('client');
    scheduler.subscribe(apiSubject('tenants.list'), {
      callback: (_error, message) => {
        message.respond('one');
        message.respond('two');
      },
    });
    await scheduler.flush();
    const answers: string[] = [];
    client.subscribe('_INBOX.mine', { callback: (_error, message) => void answers.push(message.string()) });
    client.publish(apiSubject('tenants.list'), '{}', { reply: '_INBOX.mine' });
    await waitFor(() => answers.length > 0, { what: 'an answer' });
    await scheduler.flush();
    await client.flush();
    expect(answers).toEqual(['one']);
    await client.close();
    await scheduler.close();
  });

  it('wrong passwords are refused at once, and not quoted', async () => {
    const refused = connected(nats, { user: 'scheduler', password: 'not-the-password' });
    await expect(refused).rejects.toMatchObject({ code: 'unauthenticated' });
    await expect(refused).rejects.not.toThrow(/not-the-password/);
  });
});

describe('the lists', () => {
  it('let every event be published by somebody, and every operation be served by one service', () => {
    for (const type of Object.keys(eventTypes) as (keyof typeof eventTypes)[]) {
      expect(eventProducers[type].length).toBeGreaterThan(0);
      expect(eventTypeParts(type).what).not.toBe('');
    }
    for (const name of apiNames) {
      const serving = (['scheduler', 'audit', 'secrets', 'gateway'] as const).filter((user) =>
        natsPermissions(user).subscribe.includes(apiSubject(name)),
      );
      expect([name, serving.length]).toEqual([name, 1]);
    }
  });

  it('hold no entry that is wider than a whole token but for inboxes, acknowledgements and consumers', () => {
    const wide = users.flatMap((user) =>
      [...natsPermissions(user).publish, ...natsPermissions(user).subscribe]
        .filter((subject) => subject.endsWith('>'))
        .map((subject) => `${natsUserName(user)} ${subject}`),
    );
    expect(wide.sort()).toMatchInlineSnapshot(`
     [
       "agent-h1 $JS.ACK.COMMANDS.agent-h1.>",
       "agent-h1 _INBOX_agent-h1.>",
       "agent-h2 $JS.ACK.COMMANDS.agent-h2.>",
       "agent-h2 _INBOX_agent-h2.>",
       "audit $JS.ACK.EVENTS.audit.>",
       "audit _INBOX_audit.>",
       "client _INBOX.>",
       "client _INBOX_client.>",
       "gateway $JS.API.CONSUMER.CREATE.EVENTS.*.fleet.v1.evt.>",
       "gateway _INBOX_gateway.>",
       "scheduler $JS.ACK.EVENTS.scheduler-moves.>",
       "scheduler $JS.ACK.EVENTS.scheduler-projection.>",
       "scheduler $JS.API.CONSUMER.CREATE.COMMANDS.*.fleet.v1.host.*.cmd.>",
       "scheduler $JS.API.CONSUMER.CREATE.EVENTS.audit.fleet.v1.evt.>",
       "scheduler $JS.API.CONSUMER.CREATE.EVENTS.scheduler-moves.fleet.v1.evt.move.>",
       "scheduler $JS.API.CONSUMER.CREATE.EVENTS.scheduler-projection.fleet.v1.evt.allocation.>",
       "scheduler _INBOX_scheduler.>",
       "scheduler fleet.v1.host.*.cmd.>",
       "secrets _INBOX_secrets.>",
     ]
    `);
  });
});

describe('natsServerConfig', () => {
  it('refuses what has no safe form', () => {
    const user = { user: 'u', permissions: natsPermissions('client') };
    const base = { port: 4222, storeDir: '/tmp' };
    const text = (password: string) => natsServerConfig({ ...base, users: [{ ...user, password }] });
    expect(() => text('a\nb')).toThrow(/control characters/);
    expect(() => natsServerConfig({ ...base, port: -1, users: [] })).toThrow(/whole number/);
    const twice = { ...user, password: 'x' };
    expect(() => natsServerConfig({ ...base, users: [twice, twice] })).toThrow(/once/);
  });

  it('is a configuration the server takes, whatever the strings hold', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'tradefleet-config-'));
    const file = join(folder, 'nats.conf');
    const users = [
      { user: 'agent-h1', password: passwordOf('client'), permissions: natsPermissions('client') },
    ];
    const text = natsServerConfig({
      port: 4222,
      storeDir: join(folder, 'a "b" \\c'),
      monitorPort: 8222,
      users,
    });
    await writeFile(file, text, { mode: 0o600 });
    const { stderr } = await promisify(execFile)(await natsServerPath(), ['-t', '-c', file], {
      timeout: 10_000,
    });
    expect(stderr).toContain('is valid');
    await rm(folder, { recursive: true });
  });

  it('takes bcrypt passwords, which are compared as such', async () => {
    // bcrypt of "secret", cost 4.
    const password = '$2a$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW';
    const own = await startNats({
      config: ({ port, storeDir: dir }) =>
        withoutStore({
          port,
          storeDir: dir,
          serverName: 'one',
          syncAlways: true,
          users: [{ user: 'client', password, permissions: natsPermissions('client') }],
        }),
    });
    try {
      await (await own.connect({ user: 'client', pass: 'secret' })).close();
      await expect(own.connect({ user: 'client', pass: password })).rejects.toThrow(/Authorization/i);
    } finally {
      await own.stop();
    }
  });
});

import {
  consumers,
  eventHeaders,
  eventSigningInput,
  newId,
  streams,
  type ConsumerSpec,
  type EventData,
} from '#libs/contracts';
import {
  connectMessaging,
  encodeSignedEvent,
  encodeSignedEvents,
  natsPermissions,
  natsServerConfig,
  natsUserName,
  provision,
  readEventAttributes,
  SigningKey,
  type Messaging,
  type OutgoingMessage,
} from '#libs/messaging';
import { createLogger } from '#libs/telemetry';
import { anAllocationEvent, startNats, uniqueName, withClient, type TestNats } from '#libs/testing';
import type { NatsConnection } from '@nats-io/transport-node';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { AuditConfig } from '../audit.config.js';
import { startAudit, type RunningAudit } from '../audit.process.js';

type AllocationEvent = Parameters<typeof encodeSignedEvent<'tradefleet.allocation.placed'>>[0];

/** As in production, but a message that was not acknowledged comes again soon; longer than a busy machine pauses. */
export const impatientConsumer: ConsumerSpec = { ...consumers.audit, ack_wait_ms: 5000 };

/** Who sends what no service would; the audit service itself has its own user with its few rights. */
const everything = { user: 'spec', pass: 'password-of-the-spec' };

function natsConfig(chosen: { port: number; storeDir: string }): string {
  const users = [
    {
      user: natsUserName('audit'),
      password: 'password-of-audit',
      permissions: natsPermissions('audit'),
    },
    {
      user: everything.user,
      password: everything.pass,
      permissions: { publish: ['>'], subscribe: ['>'], allowResponses: false },
    },
  ];
  return natsServerConfig({ ...chosen, users });
}

/** A NATS with the fleet's streams, a database, and audit services between them; for specs. */
export class AuditFixture {
  readonly logger = createLogger({ service: 'audit-spec', level: 'silent' });
  private readonly running: RunningAudit[] = [];
  private sequence = 0;

  private constructor(
    readonly nats: TestNats,
    readonly messaging: Messaging,
    readonly config: AuditConfig,
    readonly ownerUrl: string,
    /** What the events of the scheduler are signed with. */
    readonly schedulerKey: SigningKey,
    /** Files of this fixture, removed at its end. */
    readonly folder: string,
  ) {}

  /** `ownerUrl` is that of an empty database. */
  static async create(ownerUrl: string, settings: Partial<AuditConfig> = {}): Promise<AuditFixture> {
    const nats = await startNats({ config: natsConfig, probe: everything });
    const folder = await mkdtemp(join(tmpdir(), 'tradefleet-audit-'));
    const schedulerKey = await SigningKey.generate();
    const config = AuditConfig.parse({
      natsUrl: [nats.url],
      natsUser: natsUserName('audit'),
      natsPassword: 'password-of-audit',
      databaseUrl: roleUrl(ownerUrl, 'audit-writer'),
      readerDatabaseUrl: roleUrl(ownerUrl, 'audit-reader'),
      keeperDatabaseUrl: roleUrl(ownerUrl, 'audit-keeper'),
      archiveDir: join(folder, 'archives'),
      databaseOwnerUrl: ownerUrl,
      signingKeyPath: join(folder, 'signing.jwk'),
      logKeyPath: join(folder, 'log.jwk'),
      witnessDir: join(folder, 'witness'),
      auditMasterKeyPath: join(folder, 'master-keys.json'),
      trustedKeys: { '/scheduler': [schedulerKey.publicJwk] },
      ...settings,
    });
    const logger = createLogger({ service: 'audit-spec', level: 'silent' });
    const messaging = await connectMessaging({
      servers: nats.url,
      user: everything.user,
      password: everything.pass,
      name: 'spec',
      logger,
    });
    await provision(messaging, { streams: Object.values(streams), consumers: [impatientConsumer] });
    return new AuditFixture(nats, messaging, config, ownerUrl, schedulerKey, folder);
  }

  async start(settings: Partial<AuditConfig> = {}): Promise<RunningAudit> {
    const config = { ...this.config, ...settings };
    const audit = await startAudit({ config, logger: this.logger, consumer: impatientConsumer });
    this.running.push(audit);
    return audit;
  }

  /** Publishes under a message id of its own each time, so that the stream takes the same event again. */
  async publish(...events: AllocationEvent[]): Promise<void> {
    const signed = await encodeSignedEvents(events, this.schedulerKey);
    const messages = signed.map((message) => ({ ...message, messageId: newId() }));
    const outcomes = await this.messaging.publishDurableAll(messages);
    if (outcomes.some((outcome) => !outcome.ok)) throw new Error('the stream did not take all events');
  }

  /** As the scheduler would publish it. */
  async signed(event: AllocationEvent): Promise<OutgoingMessage> {
    return await encodeSignedEvent(event, this.schedulerKey);
  }

  /** A message that was changed, signed as it is now. */
  async resigned(message: OutgoingMessage, key: SigningKey = this.schedulerKey): Promise<OutgoingMessage> {
    const bytes = typeof message.body === 'string' ? Buffer.from(message.body, 'utf8') : message.body;
    const signature = await key.sign(eventSigningInput(readEventAttributes(message.headers), bytes));
    return { ...message, headers: { ...message.headers, [eventHeaders.signature]: signature } };
  }

  /** An event of the scheduler; its id says the millisecond of its time. */
  event(
    fields: Partial<AllocationEvent> = {},
    data: Partial<EventData<'tradefleet.allocation.placed'>> = {},
  ) {
    const time = fields.time ?? new Date().toISOString();
    const ms = Date.parse(time);
    return {
      type: 'tradefleet.allocation.placed' as const,
      subjectId: newId(),
      data: anAllocationEvent(data),
      actor: 'host:spec',
      time,
      id: newId(Number.isNaN(ms) ? undefined : ms),
      source: '/scheduler',
      incarnation: '0190a0a0-0000-7000-8000-000000000009',
      sequence: (this.sequence += 1),
      ...fields,
    };
  }

  /** A stock client that may do everything. Close it. */
  async client(): Promise<NatsConnection> {
    return await this.nats.connect(everything);
  }

  /** As the owner. */
  async query<T extends object>(sql: string, values: unknown[] = []): Promise<T[]> {
    return await withClient(this.ownerUrl, async (client) => (await client.query<T>(sql, values)).rows);
  }

  /** Without those that the audit service tells of itself. */
  async recordedIds(): Promise<string[]> {
    const rows = await this.query<{ id: string }>("SELECT id FROM audit.events WHERE source <> '/audit'");
    return rows.map((row) => row.id).sort();
  }

  /** Deliveries of the stream that nobody has acknowledged, and those not yet handed out. */
  async unsettled(): Promise<number> {
    const manager = await this.messaging.manager();
    const { stream, durable } = impatientConsumer;
    const { state } = await manager.streams.info(stream);
    const { num_ack_pending, num_pending, delivered } = await manager.consumers.info(stream, durable);
    // The consumer hears of a message a moment after it was stored.
    return num_ack_pending + Math.max(num_pending, state.last_seq - delivered.stream_seq);
  }

  async stop(): Promise<void> {
    for (const audit of this.running) await audit.stop();
    await this.messaging.drain();
    await this.nats.stop();
    await rm(this.folder, { recursive: true, force: true });
    const { databaseUrl, readerDatabaseUrl, keeperDatabaseUrl = databaseUrl } = this.config;
    for (const url of new Set([databaseUrl, readerDatabaseUrl, keeperDatabaseUrl])) {
      const role = new URL(url).username;
      await this.query(`DROP OWNED BY ${role}`);
      await this.query(`DROP ROLE ${role}`);
    }
  }
}

/** The same database as a role of this fixture's own: roles are the whole server's. */
function roleUrl(ownerUrl: string, name: string): string {
  const url = new URL(ownerUrl);
  url.username = uniqueName(name).replaceAll('-', '_');
  url.password = 'role-of-the-spec';
  return url.toString();
}

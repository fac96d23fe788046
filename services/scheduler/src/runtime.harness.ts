import type { Clock } from '#libs/clock';
import { consumers, newId, Policies, streams, type Bot, type ObservedAllocation } from '#libs/contracts';
import { connectMessaging, provision, SigningKey, type Messaging } from '#libs/messaging';
import { OutboxRelay, runMigrations } from '#libs/persistence';
import { createLogger } from '#libs/telemetry';
import { uniqueLogin, uniqueName, type TestNats, type TestPostgres } from '#libs/testing';
import type { ModuleMetadata } from '@nestjs/common';
import { Test, type TestingModule } from '@nestjs/testing';
import { DataSource } from 'typeorm';
import { migrations, schedulerSchema } from './database/migrations/index.js';
import { HeartbeatService } from './heartbeats/heartbeat.service.js';
import { RegistrationService } from './heartbeats/registration.service.js';
import type { SignedHost } from './heartbeats/signed-host.harness.js';
import { LEADERSHIP, type Leadership } from './leadership/leadership.js';
import { SteadyLeadership } from './leadership/leadership.harness.js';
import { PlatformModule } from './platform.module.js';
import { ReconcilerLoop } from './reconciliation/reconciler.loop.js';
import { RuntimeModule } from './runtime.module.js';
import { SchedulerConfig } from './scheduler.config.js';
import { SeamsModule } from './seams.module.js';

export interface AllocationRow {
  id: string;
  bot: string;
  account: string;
  host: string;
  epoch: number;
  state: string;
  stage: string | null;
  reason: string | null;
  bot_generation: number;
  stop_reason: string | null;
  commands_sent: number;
}

export interface OutboxMessage {
  event: { type: string; subjectId: string; actor: string } | null;
  subject: string | null;
  headers: Record<string, string> | null;
  body: string;
}

/** A new, migrated database. */
export async function migratedDatabase(postgres: TestPostgres): Promise<string> {
  const url = await postgres.createDatabase();
  await runMigrations({ url, schema: schedulerSchema, migrations, applicationName: 'test' });
  return url;
}

/**
 * The runtime with all its parts on a real database and a real broker, but no requests and no timers: a test turns
 * passes and heartbeats by hand.
 */
export class RuntimeHarness {
  private constructor(
    readonly app: TestingModule,
    readonly clock: Clock,
    readonly messaging: Messaging,
    readonly signingKey: SigningKey,
    readonly config: SchedulerConfig,
  ) {}

  /** Leads when this resolves, unless told not to. */
  static async start(options: {
    databaseUrl: string;
    nats: TestNats;
    clock: Clock;
    config?: Partial<SchedulerConfig>;
    lead?: boolean;
    /** In place of one that leads until it resigns; `real`: by the lease, which turning the clock ends. */
    leadership?: Leadership | 'real';
    logLevel?: 'silent' | 'warn' | 'debug';
    /** Parts of the API that a test needs besides. */
    imports?: ModuleMetadata['imports'];
  }): Promise<RuntimeHarness> {
    const { databaseUrl, nats, clock } = options;
    const logger = createLogger({ service: 'scheduler', level: options.logLevel ?? 'silent' });
    const signingKey = await SigningKey.generate();
    const config = SchedulerConfig.parse({
      natsUrl: [nats.url],
      databaseUrl,
      signingKeyPath: '/nonexistent',
      // One key signs for everybody.
      auditPublicKey: [signingKey.publicJwk],
      // There are no events to wait for: heartbeats tell.
      advancePatienceMs: 0,
      hostJoin: 'open',
      ...options.config,
    });
    const messaging = await connectMessaging({ servers: config.natsUrl, name: 'test', logger });
    await provision(messaging, {
      streams: Object.values(streams),
      consumers: [consumers.audit, consumers.schedulerProjection, consumers.schedulerMoves],
    });
    const platform = { config, clock, logger, messaging, signingKey };
    const builder = Test.createTestingModule({
      imports: [PlatformModule.forRoot(platform), SeamsModule, RuntimeModule, ...(options.imports ?? [])],
    });
    // The data source is there once the module is compiled, and not asked for before.
    let app: TestingModule | null = null;
    const dataSource = (): DataSource => {
      if (app === null) throw new Error('The runtime is not compiled yet.');
      return app.get(DataSource);
    };
    const leadership =
      options.leadership ?? new SteadyLeadership(dataSource, clock, undefined, config.leaseTtlMs);
    if (leadership !== 'real') builder.overrideProvider(LEADERSHIP).useValue(leadership);
    app = await builder.compile();
    await app.init();
    const harness = new RuntimeHarness(app, clock, messaging, signingKey, config);
    if (options.lead !== false) await harness.leadership.lead(new AbortController().signal);
    return harness;
  }

  get leadership(): Leadership {
    return this.app.get<Leadership>(LEADERSHIP);
  }

  get dataSource(): DataSource {
    return this.app.get(DataSource);
  }

  get relay(): OutboxRelay {
    return this.app.get(OutboxRelay);
  }

  /** One pass of all reconcilers. */
  async pass(): Promise<void> {
    await this.app.get(ReconcilerLoop).pass();
  }

  async register(host: SignedHost): Promise<void> {
    const body = host.register();
    await this.app.get(RegistrationService).register(body, await host.proof(body));
  }

  /** Sends a heartbeat with these allocations and gives the answer. */
  async heartbeat(host: SignedHost, observed: ObservedAllocation[] = []) {
    const body = host.heartbeat(observed);
    return this.app.get(HeartbeatService).answer(body, await host.proof(body));
  }

  async query<T>(sql: string, parameters: unknown[] = []): Promise<T[]> {
    return this.dataSource.query<T[]>(sql, parameters);
  }

  /** Makes a bot with its own tenant and account, as the API would. */
  async bot(over: Partial<Bot> = {}): Promise<{ name: string; account: string; tenant: string }> {
    const [made] = await this.bots(1, over);
    if (made === undefined) throw new Error('No bot was made.');
    return made;
  }

  /** Makes many bots, each with its own account, all of one tenant. */
  async bots(
    count: number,
    over: Partial<Bot> = {},
  ): Promise<{ name: string; account: string; tenant: string }[]> {
    const tenant = over.tenant ?? uniqueName('tenant');
    const made = Array.from({ length: count }, () => ({
      name: over.name ?? uniqueName('bot'),
      account: over.account ?? uniqueName('account'),
      tenant,
    }));
    const policies = { ...Policies.parse({}), ...over.policies };
    await this.query(
      `INSERT INTO scheduler.tenants (name, display_name, created_by) VALUES ($1, $1, 'user:test')
       ON CONFLICT DO NOTHING`,
      [tenant],
    );
    await this.query(
      `INSERT INTO scheduler.accounts (name, tenant, server, login, created_by)
       SELECT name, $2, 'Paper-Demo', login, 'user:test' FROM unnest($1::text[], $3::bigint[]) AS a (name, login)`,
      [made.map((bot) => bot.account), tenant, made.map(() => uniqueLogin())],
    );
    await this.query(
      `INSERT INTO scheduler.bots (name, tenant, account, runtime, parameters, resources, constraints, policies,
         desired, created_by, changed_by)
       SELECT name, $3, account, $4, $5, $6, $7, $8, $9, 'user:test', 'user:test'
       FROM unnest($1::text[], $2::text[]) AS b (name, account)`,
      [
        made.map((bot) => bot.name),
        made.map((bot) => bot.account),
        tenant,
        over.runtime ?? 'paper',
        JSON.stringify(over.parameters ?? {}),
        JSON.stringify(over.resources ?? { cpuMillis: 100, memoryMiB: 128, pids: 32 }),
        JSON.stringify(over.constraints ?? []),
        JSON.stringify(policies),
        over.desired ?? 'running',
      ],
    );
    return made;
  }

  /** Changes what should run, as the API does: desired state and a new generation. */
  async change(bot: string, desired: 'running' | 'stopped' | 'deleted'): Promise<void> {
    await this.query('UPDATE scheduler.bots SET desired = $2, generation = generation + 1 WHERE name = $1', [
      bot,
      desired,
    ]);
  }

  async allocations(bot?: string): Promise<AllocationRow[]> {
    return this.query<AllocationRow>(
      'SELECT * FROM scheduler.allocations WHERE $1::text IS NULL OR bot = $1 ORDER BY account, epoch',
      [bot ?? null],
    );
  }

  async allocation(bot: string): Promise<AllocationRow> {
    const newest = (await this.allocations(bot)).at(-1);
    if (newest === undefined) throw new Error(`${bot} has no allocation.`);
    return newest;
  }

  /** Everything in the outbox, in order. */
  async outbox(): Promise<OutboxMessage[]> {
    return this.query<OutboxMessage>(
      'SELECT event, subject, headers, body FROM scheduler.outbox ORDER BY id',
    );
  }

  /** Types of the events about an entity, in order. */
  async eventsOf(id: string): Promise<string[]> {
    const rows = await this.outbox();
    return rows.flatMap(({ event }) => (event?.subjectId === id ? [event.type] : []));
  }

  /** Verbs of the commands about an allocation, in order. */
  async commandsOf(allocation: string): Promise<string[]> {
    const rows = await this.outbox();
    return rows.flatMap(({ subject, body }) => {
      const command = JSON.parse(body) as { allocation?: string; verb?: string };
      return subject !== null && command.allocation === allocation ? [command.verb ?? ''] : [];
    });
  }

  /** Ends everything as a crash would not: in order. */
  async stop(): Promise<void> {
    await this.leadership.resign();
    await this.app.close();
  }
}

/** The allocation as its host would report it. */
export const seen = (row: AllocationRow, over: Partial<ObservedAllocation> = {}): ObservedAllocation => ({
  id: row.id,
  account: row.account,
  epoch: row.epoch,
  state: 'running',
  reason: null,
  detail: null,
  exitCode: null,
  attempt: 1,
  lastExit: null,
  observation: null,
  ...over,
});

/** An id nobody has. */
export const unknownId = (): string => newId();

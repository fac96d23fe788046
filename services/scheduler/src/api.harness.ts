import { SystemClock } from '#libs/clock';
import {
  actorHeader,
  api,
  apiSubject,
  type ApiName,
  type ApiRequest,
  type ApiResponse,
  type Problem,
} from '#libs/contracts';
import { connectMessaging, RequestReplyServer, SigningKey, type Messaging } from '#libs/messaging';
import { RefusalsRecorder, runMigrations } from '#libs/persistence';
import { createLogger, NestPinoLogger } from '#libs/telemetry';
import { aPublicKey, startNats, startPostgres, uniqueLogin, uniqueName, type TestNats } from '#libs/testing';
import { Module, type DynamicModule, type INestMicroservice } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { AsyncMicroserviceOptions } from '@nestjs/microservices';
import { headers } from '@nats-io/transport-node';
import { DataSource } from 'typeorm';
import { ApiModule } from './api.module.js';
import { migrations, schedulerSchema } from './database/migrations/index.js';
import { PlatformModule, type Platform } from './platform.module.js';
import { SchedulerConfig } from './scheduler.config.js';

@Module({})
class ApiOnlyModule {
  static forRoot(platform: Platform): DynamicModule {
    return { module: ApiOnlyModule, imports: [PlatformModule.forRoot(platform), ApiModule] };
  }
}

/**
 * The scheduler's API on a real NATS server and a real database, without the runtime: nothing happens to bots but what
 * a test writes. Requests go by a stock client that knows none of our code.
 */
export class ApiHarness {
  private constructor(
    readonly app: INestMicroservice,
    readonly client: Awaited<ReturnType<TestNats['connect']>>,
    private readonly nats: TestNats,
    private readonly dropDatabase: () => Promise<void>,
  ) {}

  static async start(settings: Partial<SchedulerConfig> = {}): Promise<ApiHarness> {
    const [nats, postgres, signingKey] = await Promise.all([
      startNats(),
      startPostgres(),
      SigningKey.generate(),
    ]);
    const databaseUrl = await postgres.createDatabase();
    await runMigrations({ url: databaseUrl, schema: schedulerSchema, migrations, applicationName: 'test' });
    const logger = createLogger({ service: 'scheduler-test', level: 'silent' });
    const clock = new SystemClock();
    const messaging: Messaging = await connectMessaging({ servers: nats.url, name: 'scheduler', logger });
    const config = SchedulerConfig.parse({
      natsUrl: [nats.url],
      databaseUrl,
      signingKeyPath: '-',
      auditPublicKey: aPublicKey,
      ...settings,
    });
    const platform = { config, clock, logger, messaging, signingKey };
    const app = await NestFactory.createMicroservice<AsyncMicroserviceOptions>(
      ApiOnlyModule.forRoot(platform),
      {
        logger: new NestPinoLogger(logger),
        abortOnError: false,
        inject: [RefusalsRecorder],
        useFactory: (refusals: RefusalsRecorder) => ({
          strategy: new RequestReplyServer(messaging, {
            queue: 'scheduler',
            onRefused: async (name, problem, context) => await refusals.request(name, problem, context),
          }),
        }),
      },
    );
    await app.listen();
    return new ApiHarness(app, await nats.connect(), nats, async () => await postgres.stop());
  }

  async stop(): Promise<void> {
    await this.client.close();
    await this.app.close();
    await this.nats.stop();
    await this.dropDatabase();
  }

  /** Sends bytes as they are, in the name of `actor`; gives the answer as it comes. */
  async send(name: ApiName, body: string | Uint8Array, actor?: string): Promise<unknown> {
    const carried = headers();
    if (actor !== undefined) carried.set(actorHeader, actor);
    const answer = await this.client.request(apiSubject(name), body, { timeout: 40_000, headers: carried });
    return answer.json();
  }

  /** Asks for something that should succeed; the answer is checked against its schema. */
  async ask<N extends ApiName>(name: N, request: ApiRequest<N>): Promise<ApiResponse<N>> {
    const answer = (await this.send(name, JSON.stringify(request))) as { ok: boolean; result: unknown };
    if (!answer.ok) throw new Error(`${name} was refused: ${JSON.stringify(answer)}`);
    return api[name].response.parse(answer.result) as ApiResponse<N>;
  }

  /** Asks for something that should be refused; gives the problem. */
  async refusal(name: ApiName, request: unknown): Promise<Problem> {
    const body = typeof request === 'string' ? request : JSON.stringify(request);
    const answer = (await this.send(name, body)) as { ok: boolean; problem: Problem };
    if (answer.ok) throw new Error(`${name} was not refused`);
    return answer.problem;
  }

  async sql<T = Record<string, unknown>>(text: string, parameters: unknown[] = []): Promise<T[]> {
    return await this.app.get(DataSource).query<T[]>(text, parameters);
  }

  /** Everything that a refused request must leave as it is; two of them are equal when nothing changed. */
  async everything(): Promise<unknown> {
    const tables = [
      'tenants',
      'accounts',
      'fences',
      'bots',
      'hosts',
      'allocations',
      'moves',
      'operations',
      'operation_targets',
      'rollouts',
      'rollout_targets',
    ];
    const rows = await Promise.all(
      [...tables, 'idempotency_keys'].map(
        async (table) =>
          await this.sql(`SELECT to_jsonb(t) AS row FROM scheduler.${table} t ORDER BY to_jsonb(t)::text`),
      ),
    );
    // A refusal is itself recorded: that is the one thing it leaves.
    const events = await this.sql(
      `SELECT message_id, body FROM scheduler.outbox WHERE event ->> 'type' NOT LIKE 'tradefleet.request.%' ORDER BY id`,
    );
    return { rows, events };
  }

  async aTenant(): Promise<string> {
    const name = uniqueName('tenant');
    await this.ask('tenants.create', { name });
    return name;
  }

  async anAccount(tenant?: string): Promise<string> {
    const name = uniqueName('account');
    const owner = tenant ?? (await this.aTenant());
    await this.ask('accounts.create', { name, tenant: owner, server: 'Paper-Demo', login: uniqueLogin() });
    return name;
  }

  async aBot(request: Partial<ApiRequest<'bots.create'>> = {}): Promise<ApiResponse<'bots.create'>> {
    const account = request.account ?? (await this.anAccount());
    return await this.ask('bots.create', { name: uniqueName('bot'), runtime: 'paper', ...request, account });
  }

  async aHost(state: 'ready' | 'down' = 'ready'): Promise<string> {
    const name = uniqueName('host');
    await this.sql(
      `INSERT INTO scheduler.hosts (name, state, driver, runtimes, labels, cpu_millis, memory_mib, bots_max,
         agent_version, incarnation, signing_key, sealing_key)
       VALUES ($1, $2, 'simulated', '{paper}', '{}', 4000, 8192, 50, '0.1.0', gen_random_uuid(), $3, $4)`,
      [name, state, JSON.stringify(aKey('Ed25519')), JSON.stringify(aKey('X25519'))],
    );
    return name;
  }

  /** What the runtime would do: an allocation of the bot under the next epoch. Gives its id. */
  async anAllocation(
    bot: string,
    host: string,
    { state = 'running', reason = null }: { state?: string; reason?: string | null } = {},
  ): Promise<string> {
    const rows = await this.sql<{ id: string }>(
      `WITH bot AS (SELECT * FROM scheduler.bots WHERE name = $1), fence AS (
         INSERT INTO scheduler.fences (account, epoch) SELECT account, 1 FROM bot
         ON CONFLICT (account) DO UPDATE SET epoch = fences.epoch + 1 RETURNING epoch)
       INSERT INTO scheduler.allocations (id, bot, account, tenant, host, epoch, bot_generation, reserved_cpu_millis,
         reserved_memory_mib, state, reason, ended_at)
       SELECT gen_random_uuid(), name, account, tenant, $2, epoch, generation, (resources ->> 'cpuMillis')::int,
         (resources ->> 'memoryMiB')::int, $3, $4,
         CASE WHEN $3 IN ('stopped', 'failed', 'lost') THEN now() END
       FROM bot, fence RETURNING id`,
      [bot, host, state, reason],
    );
    const id = rows[0]?.id;
    if (id === undefined) throw new Error(`No bot is named ${bot}`);
    return id;
  }
}

const aKey = (crv: string) => ({ kty: 'OKP', crv, x: 'A'.repeat(43) });

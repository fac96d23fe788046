import { SystemClock, type Clock } from '#libs/clock';
import { connectMessaging, SigningKey, type Messaging } from '#libs/messaging';
import { OutboxRelay, RefusalsRecorder, runMigrations } from '#libs/persistence';
import { NestPinoLogger, type Logger } from '#libs/telemetry';
import type { INestMicroservice } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { AsyncMicroserviceOptions } from '@nestjs/microservices';
import { BrokerUpkeep } from './broker/broker.upkeep.js';
import { migrations, schedulerSchema } from './database/migrations/index.js';
import { isDatabaseUnavailable } from './database/database-unavailable.filter.js';
import { resignWhenCutOff } from './leadership/cut-off.js';
import { LEADERSHIP, type Leadership } from './leadership/leadership.js';
import { OperationsService } from './operations/operations.service.js';
import type { Platform } from './platform.module.js';
import type { SchedulerConfig } from './scheduler.config.js';
import { SchedulerModule } from './scheduler.module.js';
import { strategyOf } from './scheduler.strategy.js';
import { SchedulerRuntime } from './scheduler.runtime.js';

export interface SchedulerOptions {
  readonly config: SchedulerConfig;
  readonly logger: Logger;
  readonly clock?: Clock;
  /** Ends a start that waits: for NATS, for the database, or as a standby for its turn. */
  readonly signal?: AbortSignal;
  /** Called once when another scheduler may lead: whatever this process still does must end at once. */
  readonly onLeadershipLost: (reason: string) => void;
}

export interface RunningScheduler {
  /** Ends in order; nothing accepted is lost. */
  stop(): Promise<void>;
}

/** Longest a shutdown waits for the outbox to empty; what is left is published by the next scheduler. */
const outbox_drain_ms_max = 5000;
const outbox_look_ms = 50;
const database_retry_ms = 500;
/** A leader that is cut off has to notice and give up, and a standby to begin, all within a lease. */
const ping_interval_ms = 1000;
const cut_off_ms_max = 3000;

/**
 * Starts the scheduler: the order of the steps stands here and nowhere else.
 *
 *   migrations -> NATS -> streams and consumers -> lead (a standby waits here and serves nothing)
 *     -> outbox relay -> requests -> runtime -> streams and consumers again: a standby may have waited for weeks
 *
 * After a takeover every host waits for its first answer: nothing that can wait stands between leading and requests.
 */
export async function startScheduler(options: SchedulerOptions): Promise<RunningScheduler> {
  const { config, logger, clock = new SystemClock(), onLeadershipLost } = options;
  const signal = options.signal ?? new AbortController().signal;
  await migrate(config, clock, logger, signal);
  const signingKey = await SigningKey.fromFile(config.signingKeyPath, { create: true });
  const messaging = await connect(options, clock, signal);
  const app = await createApp({ config, logger, clock, messaging, signingKey });
  try {
    const leadership = app.get<Leadership>(LEADERSHIP);
    leadership.onLost(onLeadershipLost);
    await app.get(BrokerUpkeep).pass();
    logger.info({}, 'waiting to lead');
    const { term } = await leadership.lead(signal);
    app.get(OutboxRelay).start(() => leadership.current() !== null);
    await app.listen();
    app.get(SchedulerRuntime).start();
    resignWhenCutOff({
      ...{ messaging, leadership, clock, logger },
      patienceMs: cut_off_ms_max,
      onResigned: onLeadershipLost,
    });
    await app.get(BrokerUpkeep).pass();
    logger.info({ term }, 'scheduler is ready');
  } catch (error) {
    await stopScheduler(app, clock, logger);
    throw error;
  }
  let stopped: Promise<void> | null = null;
  return { stop: async () => await (stopped ??= stopScheduler(app, clock, logger)) };
}

/** The way back: take nothing more in, finish what is under way, publish what it wrote, let another one lead. */
async function stopScheduler(app: INestMicroservice, clock: Clock, logger: Logger): Promise<void> {
  app.get(OperationsService).release();
  await app.get(SchedulerRuntime).stop();
  // Closing it again, as the application does, does nothing.
  await app.getTransportServer().close();
  await app.get(RefusalsRecorder).stop();
  const relay = app.get(OutboxRelay);
  await emptyOutbox(relay, clock, logger);
  await relay.stop();
  await app.get<Leadership>(LEADERSHIP).resign();
  // Closes the pool and NATS.
  await app.close();
  logger.info({}, 'scheduler has stopped');
}

/** Waits for a database that is away: whoever starts a scheduler need not know the order. */
async function migrate(
  { databaseUrl: url }: SchedulerConfig,
  clock: Clock,
  logger: Logger,
  signal: AbortSignal,
): Promise<void> {
  for (let attempt = 0; ; attempt += 1) {
    signal.throwIfAborted();
    try {
      await runMigrations({
        url,
        schema: schedulerSchema,
        migrations,
        applicationName: 'tradefleet-scheduler',
      });
      return;
    } catch (error) {
      if (!isDatabaseUnavailable(error)) throw error;
      if (attempt % 20 === 0) logger.warn({ err: error }, 'the database cannot be reached yet');
      await clock.sleep(database_retry_ms, signal);
    }
  }
}

async function connect(options: SchedulerOptions, clock: Clock, signal: AbortSignal): Promise<Messaging> {
  const { natsUrl, natsUser, natsPassword } = options.config;
  return await connectMessaging({
    servers: natsUrl,
    user: natsUser,
    password: natsPassword,
    name: 'scheduler',
    pingIntervalMs: ping_interval_ms,
    clock,
    logger: options.logger,
    signal,
  });
}

async function createApp(platform: Platform): Promise<INestMicroservice> {
  try {
    return await NestFactory.createMicroservice<AsyncMicroserviceOptions>(SchedulerModule.forRoot(platform), {
      logger: new NestPinoLogger(platform.logger),
      abortOnError: false,
      inject: [RefusalsRecorder, LEADERSHIP],
      useFactory: (refusals: RefusalsRecorder, leadership: Leadership) => ({
        strategy: strategyOf(platform, refusals, leadership),
      }),
    });
  } catch (error) {
    await platform.messaging.drain();
    throw error;
  }
}

/** Publishes what is written already, as long as that gets on; bounded. */
async function emptyOutbox(relay: OutboxRelay, clock: Clock, logger: Logger): Promise<void> {
  const until_ms = clock.monotonicMs() + outbox_drain_ms_max;
  try {
    while (relay.status().running && (await relay.backlog()) > 0) {
      if (clock.monotonicMs() >= until_ms || relay.status().failures > 0) {
        logger.warn(
          { waiting: await relay.backlog() },
          'messages are left for the next scheduler to publish',
        );
        return;
      }
      relay.wake();
      await clock.sleep(outbox_look_ms);
    }
  } catch (error) {
    logger.warn({ err: error }, 'the database did not answer; messages may be left to publish');
  }
}

import type { Clock } from '#libs/clock';
import { consumers, type ConsumerSpec } from '#libs/contracts';
import {
  CombinedServer,
  connectMessaging,
  JetStreamServer,
  RequestReplyServer,
  SigningKey,
} from '#libs/messaging';
import { RefusalsRecorder } from '#libs/persistence';
import { NestPinoLogger, type Logger } from '#libs/telemetry';
import type { INestMicroservice } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { AsyncMicroserviceOptions } from '@nestjs/microservices';
import type { AuditConfig } from './audit.config.js';
import { AuditModule, type Platform } from './audit.module.js';
import { KeeperDatabase } from './database/keeper.js';
import { prepareDatabase } from './database/prepare-database.js';
import { ReaderDatabase } from './database/reader.js';
import { requireRole } from './database/roles.js';
import { LogRepository } from './ingestion/log.repository.js';
import { CheckpointService } from './log/checkpoint.service.js';
import { LogKey } from './log/log-key.js';
import { OwnEvents } from './outbox/own.events.js';
import { LogGrowth } from './query/log.growth.js';
import { SecurityWatch } from './security/security.watch.js';
import { SelfCheckService } from './self-check/self-check.service.js';
import { TileRebuilder } from './self-check/tile.rebuilder.js';
import { UpkeepService } from './upkeep/upkeep.service.js';
import { RetentionService } from './retention/retention.service.js';
import { SilenceWatch } from './watermark/silence.watch.js';

export interface AuditOptions {
  readonly config: AuditConfig;
  readonly logger: Logger;
  /** Ends a start that waits for NATS. */
  readonly signal?: AbortSignal;
  /** Of the stream of events; tests give one with shorter waits. */
  readonly consumer?: ConsumerSpec;
  /** Default the system's. */
  readonly clock?: Clock;
}

export interface RunningAudit {
  /** Pulls no more, finishes the batch under way, acknowledges it, closes. */
  stop(): Promise<void>;
}

/** While one batch is committed the next is prepared. */
const concurrency = 2;

/**
 * Starts the service: the order of the steps stands here and nowhere else.
 *
 *   migrations and roles (as owner) -> NATS -> database (as writer, as reader) -> check of the roles
 *     -> make lost tiles again -> consume and answer
 *     -> publish own events, look for silent producers and unusual activity, make checkpoints, read the log again,
 *        take away what is not kept any longer
 *
 * The consumer is the scheduler's to make; until it is there it is looked for.
 */
export async function startAudit(options: AuditOptions): Promise<RunningAudit> {
  const { config, logger, signal } = options;
  const signingKey = await SigningKey.fromFile(config.signingKeyPath, { create: true });
  const logKey = await LogKey.fromFile(config.logKeyPath, config.logOrigin);
  await prepareDatabase(config, logger);
  const messaging = await connectMessaging({
    servers: config.natsUrl,
    user: config.natsUser,
    password: config.natsPassword,
    name: 'audit',
    logger,
    ...(signal === undefined ? {} : { signal }),
  });
  const consumer = options.consumer ?? consumers.audit;
  const app = await createApp({
    config,
    logger,
    messaging,
    consumer,
    signingKey,
    logKey,
    clock: options.clock,
  });
  try {
    await app.get(LogRepository).requireWriter();
    await requireRole(app.get(ReaderDatabase), 'reader');
    await app.get(KeeperDatabase).requireSafe();
    await app.get(LogRepository).ensureHead(config.logOrigin);
    await app.get(TileRebuilder).rebuild();
    await app.listen();
    await app.get(RetentionService).tellLeftovers();
    app.get(OwnEvents).start();
    app.get(SilenceWatch).start();
    app.get(SecurityWatch).start();
    app.get(CheckpointService).start();
    app.get(SelfCheckService).start();
    app.get(UpkeepService).start();
  } catch (error) {
    await app.close();
    throw error;
  }
  logger.info({}, 'audit is ready');
  let stopped: Promise<void> | null = null;
  return { stop: async () => await (stopped ??= stopAudit(app)) };
}

/** Followers are let go, and the last word on what was refused goes out, while there is a way for it. */
async function stopAudit(app: INestMicroservice): Promise<void> {
  app.get(LogGrowth).stop();
  await app.get(RefusalsRecorder).stop();
  await app.close();
}

async function createApp(platform: Platform): Promise<INestMicroservice> {
  const { logger, messaging } = platform;
  try {
    return await NestFactory.createMicroservice<AsyncMicroserviceOptions>(AuditModule.forRoot(platform), {
      logger: new NestPinoLogger(logger),
      abortOnError: false,
      inject: [RefusalsRecorder],
      useFactory: (refusals: RefusalsRecorder) => ({ strategy: strategyOf(platform, refusals) }),
    });
  } catch (error) {
    await messaging.drain();
    throw error;
  }
}

function strategyOf(
  { config, messaging, signingKey, consumer: spec }: Platform,
  refusals: RefusalsRecorder,
): CombinedServer {
  const batch = { max: config.batchEventsMax, waitMs: config.batchWaitMs };
  return new CombinedServer([
    new JetStreamServer(messaging, {
      // Bodies as they are: what cannot be read is put aside with all else that is no event.
      consumers: [{ spec, name: consumers.audit.durable, batch, concurrency, raw: true }],
    }),
    new RequestReplyServer(messaging, {
      queue: 'audit',
      replySigner: signingKey,
      onRefused: async (name, problem, context) => await refusals.request(name, problem, context),
    }),
  ]);
}

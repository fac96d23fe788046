import type { Clock } from '#libs/clock';
import { consumers, type ConsumerSpec } from '#libs/contracts';
import {
  CombinedServer,
  connectMessaging,
  JetStreamServer,
  RequestReplyServer,
  SigningKey,
} from '#libs/messaging';
import { NestPinoLogger, type Logger } from '#libs/telemetry';
import type { INestMicroservice } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { MicroserviceOptions } from '@nestjs/microservices';
import type { AuditConfig } from './audit.config.js';
import { AuditModule, type Platform } from './audit.module.js';
import { prepareDatabase } from './database/prepare-database.js';
import { ReaderDatabase } from './database/reader.js';
import { requireRole } from './database/roles.js';
import { LogRepository } from './ingestion/log.repository.js';
import { CheckpointService } from './log/checkpoint.service.js';
import { LogKey } from './log/log-key.js';
import { OwnEvents } from './outbox/own.events.js';
import { SilenceWatch } from './watermark/silence.watch.js';
import { DataSource } from 'typeorm';

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
 *   migrations and roles (as owner) -> NATS -> database (as writer, as reader) -> check of the roles -> consume and answer
 *     -> publish own events, look for silent producers, make checkpoints
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
    await requireRole(app.get(DataSource), 'writer');
    await requireRole(app.get(ReaderDatabase), 'reader');
    await app.get(LogRepository).ensureHead(config.logOrigin);
    await app.listen();
    app.get(OwnEvents).start();
    app.get(SilenceWatch).start();
    app.get(CheckpointService).start();
  } catch (error) {
    await app.close();
    throw error;
  }
  logger.info({}, 'audit is ready');
  let stopped: Promise<void> | null = null;
  return { stop: async () => await (stopped ??= app.close()) };
}

async function createApp(platform: Platform): Promise<INestMicroservice> {
  const { config, logger, messaging, consumer: spec } = platform;
  const batch = { max: config.batchEventsMax, waitMs: config.batchWaitMs };
  const strategy = new CombinedServer([
    new JetStreamServer(messaging, {
      // Bodies as they are: what cannot be read is put aside with all else that is no event.
      consumers: [{ spec, name: consumers.audit.durable, batch, concurrency, raw: true }],
    }),
    new RequestReplyServer(messaging, { queue: 'audit' }),
  ]);
  try {
    return await NestFactory.createMicroservice<MicroserviceOptions>(AuditModule.forRoot(platform), {
      logger: new NestPinoLogger(logger),
      abortOnError: false,
      strategy,
    });
  } catch (error) {
    await messaging.drain();
    throw error;
  }
}

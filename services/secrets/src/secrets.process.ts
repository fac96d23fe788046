import type { INestMicroservice } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { AsyncMicroserviceOptions } from '@nestjs/microservices';
import { type Clock, SystemClock } from '#libs/clock';
import { connectMessaging, type Messaging, RequestReplyServer } from '#libs/messaging';
import { RefusalsRecorder, runMigrations } from '#libs/persistence';
import { type Logger, NestPinoLogger } from '#libs/telemetry';
import { databaseOptions } from './database/database.options.js';
import type { SecretsConfig } from './secrets.config.js';
import { SecretsModule, type SecretsParts } from './secrets.module.js';

export interface SecretsOptions {
  readonly config: SecretsConfig;
  readonly logger: Logger;
  readonly clock?: Clock;
  /** Ends a start that waits for NATS. */
  readonly signal?: AbortSignal;
}

/** Starts the service: migrations -> NATS -> requests. `close` of what it gives ends it in order. */
export async function startSecrets(options: SecretsOptions): Promise<INestMicroservice> {
  const { config, logger, clock = new SystemClock() } = options;
  await runMigrations(databaseOptions(config));
  const messaging = await connectMessaging({
    servers: config.natsUrl,
    user: config.natsUser,
    password: config.natsPassword,
    name: 'secrets',
    clock,
    logger,
    ...(options.signal === undefined ? {} : { signal: options.signal }),
  });
  const app = await createApp({ config, messaging, logger, clock });
  try {
    await app.listen();
  } catch (error) {
    await app.close();
    throw error;
  }
  logger.info('secrets service ready');
  return app;
}

async function createApp(parts: SecretsParts): Promise<INestMicroservice> {
  const { messaging, logger } = parts;
  try {
    return await NestFactory.createMicroservice<AsyncMicroserviceOptions>(SecretsModule.forRoot(parts), {
      logger: new NestPinoLogger(logger),
      // A fault at the start is told by whoever called, not swallowed by an exit.
      abortOnError: false,
      inject: [RefusalsRecorder],
      useFactory: (refusals: RefusalsRecorder) => ({ strategy: strategyOf(messaging, refusals) }),
    });
  } catch (error) {
    await messaging.drain();
    throw error;
  }
}

const strategyOf = (messaging: Messaging, refusals: RefusalsRecorder): RequestReplyServer =>
  new RequestReplyServer(messaging, {
    queue: 'secrets',
    onRefused: async (name, problem, context) => await refusals.request(name, problem, context),
  });

import 'reflect-metadata';
import { NestFactory } from '@nestjs/core';
import type { MicroserviceOptions } from '@nestjs/microservices';
import { configPrefix, ConfigurationError, loadConfig } from '#libs/config';
import { connectMessaging, RequestReplyServer } from '#libs/messaging';
import { runMigrations } from '#libs/persistence';
import { createLogger, NestPinoLogger, startTelemetry } from '#libs/telemetry';
import { databaseOptions } from './database/database.options.js';
import { SecretsConfig } from './secrets.config.js';
import { SecretsModule } from './secrets.module.js';

async function main(): Promise<void> {
  const config = loadConfig(SecretsConfig, { prefix: configPrefix });
  const logger = createLogger({ service: 'secrets', level: config.logLevel });
  await startTelemetry('secrets');
  await runMigrations(databaseOptions(config));
  const messaging = await connectMessaging({
    servers: config.natsUrl,
    user: config.natsUser,
    password: config.natsPassword,
    name: 'secrets',
    logger,
  });
  const app = await NestFactory.createMicroservice<MicroserviceOptions>(
    SecretsModule.forRoot(config, messaging, logger),
    {
      strategy: new RequestReplyServer(messaging, { queue: 'secrets' }),
      logger: new NestPinoLogger(logger),
      // A fault at the start is told below, not swallowed by an exit.
      abortOnError: false,
    },
  );
  app.enableShutdownHooks();
  await app.listen();
  logger.info('secrets service ready');
}

main().catch((error: unknown) => {
  // A fault in the settings is for a person to read; anything else is a defect, told with where it came from.
  const misconfigured = error instanceof ConfigurationError;
  const text = error instanceof Error ? (misconfigured ? error.message : error.stack) : String(error);
  process.stderr.write(`${text ?? ''}\n`);
  process.exit(misconfigured ? 78 : 1);
});

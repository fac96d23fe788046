import 'reflect-metadata';
import { configPrefix, ConfigurationError, loadConfig } from '#libs/config';
import { connectMessaging, SigningKey } from '#libs/messaging';
import { createLogger, startTelemetry } from '#libs/telemetry';
import { GatewaySettings } from './gateway.config.js';
import { createGateway } from './gateway.server.js';

async function main(): Promise<void> {
  const settings = loadConfig(GatewaySettings, { prefix: configPrefix });
  const logger = createLogger({ service: 'gateway', level: settings.logLevel });
  await startTelemetry('gateway');
  const signingKey = await SigningKey.fromFile(settings.signingKeyPath, { create: true });
  const messaging = await connectMessaging({
    servers: settings.natsUrl,
    user: settings.natsUser,
    password: settings.natsPassword,
    name: 'gateway',
    logger,
  });
  const app = await createGateway({ ...settings, signingKey }, messaging, logger);
  await app.listen(settings.port, '127.0.0.1');
  logger.info({ port: settings.port }, 'gateway ready');
}

main().catch((error: unknown) => {
  // A fault in the settings is for a person to read; anything else is a defect, told with where it came from.
  const misconfigured = error instanceof ConfigurationError;
  const text = error instanceof Error ? (misconfigured ? error.message : error.stack) : String(error);
  process.stderr.write(`${text ?? ''}\n`);
  process.exit(misconfigured ? 78 : 1);
});

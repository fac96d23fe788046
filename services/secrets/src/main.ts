import 'reflect-metadata';
import { configPrefix, ConfigurationError, loadConfig } from '#libs/config';
import { createLogger, startTelemetry } from '#libs/telemetry';
import { SecretsConfig } from './secrets.config.js';
import { startSecrets } from './secrets.process.js';

async function main(): Promise<void> {
  const config = loadConfig(SecretsConfig, { prefix: configPrefix });
  const logger = createLogger({ service: 'secrets', level: config.logLevel });
  await startTelemetry('secrets');
  const app = await startSecrets({ config, logger });
  app.enableShutdownHooks();
}

main().catch((error: unknown) => {
  // A fault in the settings is for a person to read; anything else is a defect, told with where it came from.
  const misconfigured = error instanceof ConfigurationError;
  const text = error instanceof Error ? (misconfigured ? error.message : error.stack) : String(error);
  process.stderr.write(`${text ?? ''}\n`);
  process.exit(misconfigured ? 78 : 1);
});

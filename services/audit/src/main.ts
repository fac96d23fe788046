import 'reflect-metadata';
import { configPrefix, ConfigurationError, loadConfig } from '#libs/config';
import { createLogger, startTelemetry } from '#libs/telemetry';
import { AuditConfig } from './audit.config.js';
import { startAudit } from './audit.process.js';
import { UnsafeRole } from './errors.js';

/** The settings are wrong; starting again does not help (EX_CONFIG of sysexits.h). */
const exit_configuration = 78;
const exit_failure = 1;
/** A shutdown that hangs is ended; longer than all its bounded steps together. */
const shutdown_ms_max = 30_000;

async function main(): Promise<void> {
  const config = loadConfig(AuditConfig, { prefix: configPrefix });
  const logger = createLogger({ service: 'audit', level: config.logLevel });
  const stopTelemetry = await startTelemetry('audit');
  const stopping = new AbortController();
  const asked = new Promise<void>((resolve) => {
    for (const name of ['SIGTERM', 'SIGINT'] as const) {
      process.once(name, () => {
        logger.info({ signal: name }, 'asked to stop');
        stopping.abort();
        setTimeout(() => process.exit(exit_failure), shutdown_ms_max).unref();
        resolve();
      });
    }
  });
  try {
    const audit = await startAudit({ config, logger, signal: stopping.signal });
    await asked;
    await audit.stop();
    logger.info({}, 'audit has stopped');
  } catch (error) {
    if (!stopping.signal.aborted) throw error;
  } finally {
    await stopTelemetry();
  }
}

try {
  await main();
} catch (error) {
  createLogger({ service: 'audit' }).fatal({ err: error }, 'the audit service could not start');
  const isConfiguration = error instanceof ConfigurationError || error instanceof UnsafeRole;
  process.exitCode = isConfiguration ? exit_configuration : exit_failure;
}

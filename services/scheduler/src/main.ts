import { configPrefix, ConfigurationError, loadConfig } from '#libs/config';
import { createLogger, startTelemetry } from '#libs/telemetry';
import { SchedulerConfig } from './scheduler.config.js';
import { startScheduler } from './scheduler.process.js';

/** The process must be started again: another scheduler leads now (EX_TEMPFAIL of sysexits.h). */
const exit_leadership_lost = 75;
/** The settings are wrong; starting again does not help (EX_CONFIG). */
const exit_configuration = 78;
const exit_failure = 1;
/** A shutdown that hangs is ended; longer than all its bounded steps together. */
const shutdown_ms_max = 30_000;

async function main(): Promise<void> {
  const config = loadConfig(SchedulerConfig, { prefix: configPrefix });
  const logger = createLogger({ service: 'scheduler', level: config.logLevel });
  const stopTelemetry = await startTelemetry('scheduler');
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
    const scheduler = await startScheduler({
      config,
      logger,
      signal: stopping.signal,
      onLeadershipLost: (reason) => {
        logger.fatal({ reason }, 'leadership was lost');
        process.exit(exit_leadership_lost);
      },
    });
    await asked;
    await scheduler.stop();
  } catch (error) {
    if (!stopping.signal.aborted) throw error;
  } finally {
    await stopTelemetry();
  }
}

try {
  await main();
} catch (error) {
  const logger = createLogger({ service: 'scheduler' });
  const isConfiguration = error instanceof ConfigurationError;
  logger.fatal({ err: error }, 'the scheduler could not start');
  process.exitCode = isConfiguration ? exit_configuration : exit_failure;
}

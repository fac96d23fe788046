import 'reflect-metadata';
import { configPrefix, ConfigurationError, loadConfig } from '#libs/config';
import { createLogger, startTelemetry, type Logger } from '#libs/telemetry';
import { AgentConfig } from './agent.config.js';
import { startAgent } from './agent.process.js';
import { StartupFault, isAbort } from './errors.js';

const version = '0.1.0';
/** sysexits.h: what a service manager need not try again. */
const exit_configuration = 78;

async function main(): Promise<void> {
  const config = loadConfig(AgentConfig, { prefix: configPrefix });
  const logger = createLogger({ service: 'agent', level: config.logLevel, fields: { host: config.host } });
  await startTelemetry('agent');
  const ending = new AbortController();
  for (const name of ['SIGTERM', 'SIGINT'] as const) process.on(name, () => ending.abort());
  dieOfDefects(logger);
  const agent = await startAgent({ config, logger, version, signal: ending.signal });
  if (!ending.signal.aborted) {
    await new Promise<void>((resolve) =>
      ending.signal.addEventListener('abort', () => resolve(), { once: true }),
    );
  }
  await agent.stop();
  process.exit(0);
}

/** A process in an unknown state must not keep leases: bots are bounded without it, and the next agent adopts them. */
function dieOfDefects(logger: Logger): void {
  const die = (error: unknown): void => {
    logger.fatal({ err: error }, 'agent ends because of a defect');
    process.exit(70);
  };
  process.on('uncaughtException', die);
  process.on('unhandledRejection', die);
}

main().catch((error: unknown) => {
  if (isAbort(error)) process.exit(0);
  // Also before there is a logger, and so that a person reads it: the message alone, which quotes no secret.
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exit(error instanceof ConfigurationError || error instanceof StartupFault ? exit_configuration : 1);
});

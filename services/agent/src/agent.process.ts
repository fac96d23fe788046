import { NestFactory } from '@nestjs/core';
import { SystemClock, type Clock } from '#libs/clock';
import { NestPinoLogger, type Logger } from '#libs/telemetry';
import type { AgentConfig } from './agent.config.js';
import { AgentLifecycle } from './agent.lifecycle.js';
import { AgentModule } from './agent.module.js';
import type { Driver } from './drivers/driver.js';
import { createDriver } from './host/driver.factory.js';
import { Identity } from './identity/identity.js';

export interface AgentOptions {
  readonly config: AgentConfig;
  readonly logger: Logger;
  readonly version: string;
  readonly clock?: Clock;
  /** Default: the one the configuration names. */
  readonly driver?: Driver;
  /** Ends a start that waits: for the engine, for NATS, for the scheduler. */
  readonly signal?: AbortSignal;
}

export interface RunningAgent {
  /** Ends in order; what becomes of the bots is `onShutdown` of the configuration. */
  stop(): Promise<void>;
}

/** Starts an agent; resolves when it takes commands. */
export async function startAgent(options: AgentOptions): Promise<RunningAgent> {
  const { config, logger, version, clock = new SystemClock() } = options;
  const signal = options.signal ?? new AbortController().signal;
  const identity = await Identity.load(config.host, config.stateDir);
  const driver = options.driver ?? (await createDriver(config, logger, clock));
  const module = AgentModule.forRoot({ config, identity, driver, clock, logger, version });
  const app = await NestFactory.createApplicationContext(module, {
    logger: new NestPinoLogger(logger),
    abortOnError: false,
  });
  const lifecycle = app.get(AgentLifecycle);
  const stop = async (): Promise<void> => {
    await lifecycle.end();
    await app.close();
  };
  try {
    await lifecycle.start(signal);
  } catch (error) {
    await stop();
    throw error;
  }
  return { stop };
}

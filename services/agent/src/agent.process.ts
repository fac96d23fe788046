import type { INestApplicationContext } from '@nestjs/common';
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

/** An agent with all its parts, none of them at work yet. */
export async function makeAgent(options: AgentOptions): Promise<INestApplicationContext> {
  const { config, logger, version, clock = new SystemClock() } = options;
  const identity = await Identity.load(config.host, config.stateDir);
  const driver = options.driver ?? (await createDriver(config, logger, clock));
  const module = AgentModule.forRoot({ config, identity, driver, clock, logger, version });
  return await NestFactory.createApplicationContext(module, {
    logger: new NestPinoLogger(logger),
    abortOnError: false,
  });
}

/** Starts an agent; resolves when it takes commands. */
export async function startAgent(options: AgentOptions): Promise<RunningAgent> {
  const app = await makeAgent(options);
  const lifecycle = app.get(AgentLifecycle);
  const stop = async (): Promise<void> => {
    await lifecycle.end();
    await app.close();
  };
  try {
    await lifecycle.start(options.signal ?? new AbortController().signal);
  } catch (error) {
    await stop();
    throw error;
  }
  return { stop };
}

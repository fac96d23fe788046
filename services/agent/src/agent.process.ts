import type { INestApplicationContext } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { SystemClock, type Clock } from '#libs/clock';
import { NestPinoLogger, type Logger } from '#libs/telemetry';
import type { AgentConfig } from './agent.config.js';
import { AgentLifecycle } from './agent.lifecycle.js';
import { AgentModule } from './agent.module.js';
import { HostSuperseded } from './errors.js';
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
  /** Ends a start that waits: for the state file, for the engine, for NATS, for the scheduler. */
  readonly signal?: AbortSignal;
}

export interface RunningAgent {
  /** Ends in order; what becomes of the bots is `onShutdown` of the configuration. */
  stop(): Promise<void>;
  /**
   * Resolves, with the reason, when another agent has taken its place and this one has ended for it: it took no more
   * commands, and its bots have ended with their leases. Pending for ever otherwise.
   */
  readonly superseded: Promise<HostSuperseded>;
}

/** An agent with all its parts, none of them at work yet. */
export async function makeAgent(options: AgentOptions): Promise<INestApplicationContext> {
  const { config, logger, version, clock = new SystemClock(), signal } = options;
  const identity = await Identity.load(config.host, config.stateDir);
  const driver = options.driver ?? (await createDriver(config, logger, clock));
  const module = AgentModule.forRoot({ config, identity, driver, clock, logger, version, signal });
  return await NestFactory.createApplicationContext(module, {
    logger: new NestPinoLogger(logger),
    abortOnError: false,
  });
}

/** The parts that `leaseMarginMs` is made of, without the rounding up. */
const lease_margin_ms_needed = 2170;

/** Starts an agent; resolves when it takes commands. */
export async function startAgent(options: AgentOptions): Promise<RunningAgent> {
  const { config, logger } = options;
  if (config.driver === 'docker' && config.leaseMarginMs < lease_margin_ms_needed)
    logger.warn(
      { leaseMarginMs: config.leaseMarginMs, neededMs: lease_margin_ms_needed },
      'the lease margin is too short for real accounts: the last order of a dead bot may come after the next bot',
    );
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
  return { stop, superseded: retired(lifecycle, stop) };
}

async function retired(lifecycle: AgentLifecycle, stop: () => Promise<void>): Promise<HostSuperseded> {
  const { superseded } = lifecycle;
  if (!superseded.aborted) {
    await new Promise<void>((resolve) =>
      superseded.addEventListener('abort', () => resolve(), { once: true }),
    );
  }
  await lifecycle.retire();
  await stop();
  return new HostSuperseded();
}

import { join } from 'node:path';
import type { Clock } from '#libs/clock';
import type { Logger } from '#libs/telemetry';
import type { AgentConfig } from '../agent.config.js';
import type { Driver } from '../drivers/driver.js';
import { StartupFault } from '../errors.js';

/** The driver of this host. Each is loaded only where it is used, to keep agents small. */
export async function createDriver(config: AgentConfig, logger: Logger, clock: Clock): Promise<Driver> {
  switch (config.driver) {
    case 'docker':
      return await dockerDriver(config, logger, clock);
    case 'process':
      return await processDriver(config, logger, clock);
    case 'simulated': {
      const { SimulatedDriver } = await import('../drivers/simulated/simulated.driver.js');
      const { simulatedRuntimes } = await import('../drivers/simulated/behaviour.js');
      return new SimulatedDriver(
        { host: config.host, ...simulatedRuntimes(config.simulatedRuntimes) },
        clock,
      );
    }
  }
}

async function dockerDriver(config: AgentConfig, logger: Logger, clock: Clock): Promise<Driver> {
  if (Object.keys(config.images).length === 0) {
    throw new StartupFault(
      'The docker driver needs an image: set TRADEFLEET_IMAGES, for example {"paper":"tradefleet/paper-bot:src-..."}.',
    );
  }
  const { DockerDriver } = await import('../drivers/docker/docker.driver.js');
  const { fleet, host, images, addressPool, startsParallelMin, startsParallelMax } = config;
  const options = {
    fleet,
    host,
    socketPath: config.dockerSocket,
    images,
    pull: config.imagesPull,
    egress: config.egress,
    addressPool,
    startsParallelMin,
    startsParallelMax,
  };
  return new DockerDriver(
    config.capacityBots === undefined ? options : { ...options, botsMax: config.capacityBots },
    logger,
    clock,
  );
}

async function processDriver(config: AgentConfig, logger: Logger, clock: Clock): Promise<Driver> {
  const { pythonPath, supervisorPath, supervisorPaths, fleet, host, startsParallelMax } = config;
  if (pythonPath === undefined || supervisorPath === undefined) {
    throw new StartupFault(
      'The process driver needs TRADEFLEET_PYTHON_PATH and TRADEFLEET_SUPERVISOR_PATH (bot-fourni/supervisor.py).',
    );
  }
  const { ProcessDriver } = await import('../drivers/process/process.driver.js');
  const stateDir = config.processStateDir ?? join(config.stateDir, 'process');
  return new ProcessDriver(
    { fleet, host, stateDir, pythonPath, supervisorPath, supervisorPaths, startsParallelMax },
    logger,
    clock,
  );
}

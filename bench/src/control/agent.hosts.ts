import 'reflect-metadata';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { SystemClock, type Clock } from '#libs/clock';
import { PublicJwk, RuntimeRef } from '#libs/contracts';
import { createLogger, type Logger } from '#libs/telemetry';
import { z } from 'zod';
import { AgentConfig } from '../../../services/agent/src/agent.config.js';
import { startAgent, type RunningAgent } from '../../../services/agent/src/agent.process.js';
import {
  seededBehaviour,
  simulatedRuntimes,
} from '../../../services/agent/src/drivers/simulated/behaviour.js';
import { createDriver } from '../../../services/agent/src/host/driver.factory.js';
import type { Driver } from '../../../services/agent/src/drivers/driver.js';
import { SimulatedDriver } from '../../../services/agent/src/drivers/simulated/simulated.driver.js';

/** What this process is started with, as the path of a file of mode 0600. */
export const AgentHosts = z.strictObject({
  natsUrl: z.string(),
  schedulerPublicKey: PublicJwk,
  auditPublicKey: PublicJwk,
  folder: z.string(),
  /** Of the run directories; for real containers on a tmpfs. */
  runRoot: z.string(),
  hosts: z.array(z.strictObject({ name: z.string(), natsUser: z.string(), natsPassword: z.string() })).min(1),
  start_ms: z.int().min(0),
  /** What the hosts offer, and whether its bots run or exit soon after every start. */
  runtimes: z.record(RuntimeRef, z.enum(['runs', 'exits'])).default({ paper: 'runs', mt5: 'runs' }),
  /** To fetch an image and to make a volume that are not on the host. */
  preparation: z
    .strictObject({ image_ms: z.int().min(0), volume_ms: z.int().min(0) })
    .default({ image_ms: 0, volume_ms: 0 }),
  /** Real containers instead, those of every host on the same engine. */
  docker: z
    .strictObject({
      fleet: z.string(),
      socketPath: z.string(),
      image: z.string(),
      capacityCpuMillis: z.int().min(1),
    })
    .optional(),
});
export type AgentHosts = z.infer<typeof AgentHosts>;

/** Several real agents in one process, each with its own state, keys and NATS connection; only containers are not real. */
async function main(path: string): Promise<void> {
  const settings = AgentHosts.parse(JSON.parse(readFileSync(path, 'utf8')));
  const asked = new Promise<void>((resolve) => process.once('SIGTERM', () => resolve()));
  const clock = new SystemClock();
  const agents: RunningAgent[] = [];
  for (const { name, natsUser, natsPassword } of settings.hosts) {
    const logger = createLogger({ service: 'agent', level: 'warn', fields: { host: name } });
    const config = AgentConfig.parse({
      ...{ host: name, natsUrl: [settings.natsUrl], natsUser, natsPassword },
      ...containerSettings(settings.docker),
      ...{ schedulerPublicKey: settings.schedulerPublicKey, auditPublicKey: settings.auditPublicKey },
      stateDir: join(settings.folder, name),
      ...{ runRoot: join(settings.runRoot, name), runRootAllowDisk: true, logLevel: 'warn' },
    });
    const driver = await driverOf(settings, config, logger, clock);
    agents.push(await startAgent({ config, logger, version: '0.1.0', clock, driver }));
  }
  await asked;
  await Promise.all(agents.map(async (agent) => await agent.stop()));
}

const containerSettings = (docker: AgentHosts['docker']): Partial<AgentConfig> =>
  docker === undefined
    ? { driver: 'simulated' }
    : {
        driver: 'docker',
        fleet: docker.fleet,
        dockerSocket: docker.socketPath,
        images: { paper: docker.image },
        capacityCpuMillis: docker.capacityCpuMillis,
      };

async function driverOf(
  { start_ms, runtimes: offered, preparation, docker }: AgentHosts,
  config: AgentConfig,
  logger: Logger,
  clock: Clock,
): Promise<Driver> {
  if (docker !== undefined) return await createDriver(config, logger, clock);
  const start = { min_ms: start_ms, max_ms: start_ms };
  const timing = seededBehaviour({ seed: 0, start });
  const { runtimes, behaviour } = simulatedRuntimes(offered);
  return new SimulatedDriver(
    {
      host: config.host,
      runtimes,
      behaviour: (task, attempt) => ({ ...timing(task, attempt), exit: behaviour(task, attempt).exit }),
      preparation,
    },
    clock,
  );
}

const [, , path] = process.argv;
if (path !== undefined) {
  main(path).then(
    // Profiles are written at the exit.
    () => process.exit(0),
    (error: unknown) => {
      process.stderr.write(`${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
      process.exit(1);
    },
  );
}

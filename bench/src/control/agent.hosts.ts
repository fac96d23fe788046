import 'reflect-metadata';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { SystemClock } from '#libs/clock';
import { PublicJwk } from '#libs/contracts';
import { createLogger } from '#libs/telemetry';
import { z } from 'zod';
import { AgentConfig } from '../../../services/agent/src/agent.config.js';
import { startAgent, type RunningAgent } from '../../../services/agent/src/agent.process.js';
import { seededBehaviour } from '../../../services/agent/src/drivers/simulated/behaviour.js';
import { SimulatedDriver } from '../../../services/agent/src/drivers/simulated/simulated.driver.js';

/** What this process is started with, as the path of a file of mode 0600. */
export const AgentHosts = z.strictObject({
  natsUrl: z.string(),
  schedulerPublicKey: PublicJwk,
  folder: z.string(),
  hosts: z.array(z.strictObject({ name: z.string(), natsUser: z.string(), natsPassword: z.string() })).min(1),
  start_ms: z.int().min(0),
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
      ...{ host: name, driver: 'simulated', natsUrl: [settings.natsUrl], natsUser, natsPassword },
      ...{ schedulerPublicKey: settings.schedulerPublicKey, stateDir: join(settings.folder, name) },
      ...{ runRoot: join(settings.folder, name, 'run'), runRootAllowDisk: true, logLevel: 'warn' },
    });
    const start = { min_ms: settings.start_ms, max_ms: settings.start_ms };
    const driver = new SimulatedDriver({ host: name, behaviour: seededBehaviour({ seed: 0, start }) }, clock);
    agents.push(await startAgent({ config, logger, version: '0.1.0', clock, driver }));
  }
  await asked;
  await Promise.all(agents.map(async (agent) => await agent.stop()));
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

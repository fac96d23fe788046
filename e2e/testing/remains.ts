import { existsSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { DockerEngine } from './docker.engine.js';
import { processesNaming } from './process.table.js';

/** Where agents keep run directories, by installation. */
const sharedMemory = (fleet: string): string => join('/dev/shm', fleet);

/** Processes, run directories, containers and networks of a fleet; each in a few words. */
export async function remainsOf(state: string, fleet: string, docker: boolean): Promise<string[]> {
  const found = processesNaming(state, fleet).map(({ pid, command }) => `process ${pid}: ${command}`);
  if (existsSync(sharedMemory(fleet))) found.push(sharedMemory(fleet));
  if (docker) {
    const engine = new DockerEngine();
    found.push(...(await engine.containers(fleet)).map(({ name }) => `container ${name}`));
    found.push(...(await engine.networks(fleet)).map((name) => `network ${name}`));
  }
  return found;
}

/**
 * Removes everything, also what outlives a fleet by design: its state and the volumes of its accounts. What a failed
 * test has left goes, too, so that it does not disturb the next one. `fleet` is null when none has begun.
 */
export async function removeRemainsOf(state: string, fleet: string | null, docker: boolean): Promise<void> {
  for (const { pid } of processesNaming(state)) process.kill(pid, 'SIGKILL');
  if (fleet !== null) {
    if (docker) await new DockerEngine().removeAllOf(fleet);
    await rm(sharedMemory(fleet), { recursive: true, force: true });
  }
  await rm(state, { recursive: true, force: true, maxRetries: 3 });
}

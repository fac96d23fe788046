import type Docker from 'dockerode';
import { label } from '../../../services/agent/src/drivers/docker/labels.js';

const parallel_max = 8;

/** Removes every container, network and volume of one fleet of this benchmark. */
export async function clearEngine(docker: Docker, fleet: string): Promise<void> {
  const filters = { label: [`${label.fleet}=${fleet}`] };
  const containers = await docker.listContainers({ all: true, filters });
  await inTurns(containers, async ({ Id }) => {
    await docker.getContainer(Id).remove({ force: true });
  });
  const networks = await docker.listNetworks({ filters });
  await inTurns(networks, async ({ Id }) => {
    await docker.getNetwork(Id).remove();
  });
  const { Volumes } = await docker.listVolumes({ filters });
  await inTurns(Volumes, async ({ Name }) => {
    await docker.getVolume(Name).remove();
  });
}

async function inTurns<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const left = [...items];
  const worker = async (): Promise<void> => {
    for (let item = left.pop(); item !== undefined; item = left.pop()) await work(item);
  };
  await Promise.all(Array.from({ length: parallel_max }, worker));
}

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { uniqueName, testDocker } from '#libs/testing';
import Docker from 'dockerode';
import { aTask } from '../contract/task.builder.js';
import { networkName } from './container-spec.js';
import { DockerEngine } from './docker.engine.js';
import { Networks } from './networks.js';
import { parseSubnet, type Subnet } from './subnets.js';

/** A pool nobody else is likely to use at the same time; the engine is shared with other tests. */
function aPool(prefix: number): Subnet {
  const pool = parseSubnet(`10.204.${Math.floor(Math.random() * 256)}.0/${prefix}`);
  if (pool === null) throw new Error('no pool');
  return pool;
}

describe('networks of allocations', () => {
  const fleet = uniqueName('fleet');
  const { socketPath } = testDocker();
  const docker = new Docker({ socketPath });
  let engine: DockerEngine;

  beforeAll(() => {
    engine = new DockerEngine(socketPath);
  });
  afterAll(() => engine.close());

  it('are found anew by another who lists them late', async () => {
    // Two agents of one engine look at the same moment, when nothing is taken: only creating tells who was first.
    const pool = aPool(28);
    const blind = new (class extends DockerEngine {
      private looks = 0;
      override async networks(
        ...filters: Parameters<DockerEngine['networks']>
      ): ReturnType<DockerEngine['networks']> {
        this.looks += 1;
        return this.looks === 1 ? [] : super.networks(...filters);
      }
    })(socketPath);
    const [first, second] = [aTask(), aTask()];
    // Whichever slot the second would begin with, the first has one of the two; so at worst it is the other's turn.
    await new Networks(engine, fleet, pool).ensure(first, true);
    await new Networks(blind, fleet, pool).ensure(second, true);
    const subnets = await Promise.all([first, second].map(({ allocation }) => subnetOf(docker, allocation)));
    expect(new Set(subnets).size).toBe(2);
    const networks = new Networks(engine, fleet, pool);
    expect(await networks.remove(first.allocation)).toBe(1);
    expect(await networks.remove(second.allocation)).toBe(1);
    expect(await networks.remove(second.allocation)).toBe(0);
    blind.close();
  });

  it('are found again also when the pool is used up', async () => {
    const pool = aPool(29);
    const [task, late] = [aTask(), aTask()];
    await new Networks(engine, fleet, pool).ensure(task, true);
    const networks = new Networks(engine, fleet, pool);
    await networks.ensure(task, true);
    await expect(networks.ensure(late, true)).rejects.toMatchObject({ fault: 'no-capacity', retry: true });
    await networks.remove(task.allocation);
    await networks.ensure(late, true);
    await networks.remove(late.allocation);
  });

  it('are refused when the name is somebody else’s', async () => {
    const task = aTask();
    const foreign = await docker.createNetwork({ Name: networkName(task.allocation), Internal: true });
    const networks = new Networks(engine, fleet, aPool(28));
    await expect(networks.ensure(task, true)).rejects.toMatchObject({
      fault: 'engine-refused',
      retry: false,
    });
    expect(await networks.remove(task.allocation)).toBe(0);
    await foreign.remove();
  });

  it('lead out only when asked to', async () => {
    const networks = new Networks(engine, fleet, aPool(28));
    const [inside, outside] = [aTask(), aTask()];
    await networks.ensure(inside, true);
    await networks.ensure(outside, false);
    expect((await engine.network(networkName(inside.allocation)))?.Internal).toBe(true);
    expect((await engine.network(networkName(outside.allocation)))?.Internal).toBe(false);
    for (const { allocation } of [inside, outside]) await networks.remove(allocation);
  });
});

async function subnetOf(docker: Docker, allocation: string): Promise<string | undefined> {
  const { IPAM } = (await docker.getNetwork(networkName(allocation)).inspect()) as {
    IPAM: { Config: { Subnet: string }[] };
  };
  return IPAM.Config[0]?.Subnet;
}

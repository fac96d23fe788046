import { newId } from '#libs/contracts';
import { uniqueName } from '#libs/testing';
import Docker from 'dockerode';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  containerName,
  containerSpec,
  networkName,
  volumeName,
} from '../../../services/agent/src/drivers/docker/container-spec.js';
import { accountLabelsOf, labelsOf } from '../../../services/agent/src/drivers/docker/labels.js';
import type { TaskSpec } from '../../../services/agent/src/drivers/driver.js';
import { clearEngine } from './engine.clearing.js';

/** A /29 for each container, far from the agent's own pool. */
const pool = (index: number): string => `10.206.${Math.floor(index / 32)}.${(index % 32) * 8}/29`;

/**
 * What the engine does when asked for no more than it must be: for each container its network, its volume, `create` and
 * `start`, by dockerode as it comes, with the very body the agent sends. Directories are made beforehand, names are not
 * checked, nothing is recorded, and nobody looks whether it worked.
 */
export class RawSide {
  private readonly fleet = uniqueName('raw');
  private readonly host = uniqueName('host');
  private closed = false;
  private readonly folder = mkdtempSync(join(tmpdir(), 'tradefleet-bench-'));

  constructor(
    private readonly docker: Docker,
    private readonly image: string,
    private readonly resources: TaskSpec['resources'],
  ) {}

  /** Milliseconds from the first call to the answer of the last start. */
  async run(count: number, parallel: number): Promise<number> {
    const tasks = Array.from({ length: count }, () => this.task());
    const queue = tasks.map((task, index) => ({ task, subnet: pool(index) })).reverse();
    const begin_ms = performance.now();
    const worker = async (): Promise<void> => {
      for (let next = queue.pop(); next !== undefined && !this.closed; next = queue.pop())
        await this.start(next.task, next.subnet);
    };
    await Promise.all(Array.from({ length: parallel }, worker));
    return performance.now() - begin_ms;
  }

  async clear(): Promise<void> {
    await clearEngine(this.docker, this.fleet);
  }

  async close(): Promise<void> {
    this.closed = true;
    await this.clear();
    rmSync(this.folder, { recursive: true, force: true });
  }

  private async start(task: TaskSpec, subnet: string): Promise<void> {
    await this.docker.createNetwork({
      Name: networkName(task.allocation),
      Driver: 'bridge',
      Internal: true,
      EnableIPv6: false,
      CheckDuplicate: true,
      IPAM: { Driver: 'default', Config: [{ Subnet: subnet }] },
      Options: {
        'com.docker.network.bridge.enable_icc': 'false',
        'com.docker.network.bridge.inhibit_ipv4': 'true',
      },
      Labels: labelsOf(task, this.fleet),
    });
    await this.docker.createVolume({
      Name: volumeName(this.fleet, task.account),
      Driver: 'local',
      Labels: accountLabelsOf(task, this.fleet),
    });
    const { fleet, image } = this;
    const spec = containerSpec(task, { fleet, image, cgroupNamespace: true, internal: true });
    const container = await this.docker.createContainer({ ...spec, name: containerName(task.account) });
    await container.start();
  }

  private task(): TaskSpec {
    const allocation = newId();
    const runDir = join(this.folder, allocation);
    mkdirSync(join(runDir, 'out'), { recursive: true });
    const { host, resources } = this;
    return {
      ...{
        allocation,
        host,
        resources,
        runDir,
        runtime: 'paper',
        version: null,
        epoch: 1,
        stopGraceMs: 5000,
      },
      ...{ tenant: 'bench', bot: uniqueName('bot'), account: uniqueName('account') },
    };
  }
}

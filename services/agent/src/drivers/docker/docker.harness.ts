import { newId } from '#libs/contracts';
import { testDocker, uniqueName } from '#libs/testing';
import Docker from 'dockerode';
import { rmSync } from 'node:fs';
import { NotedLog, type DriverHarness, type Program } from '../contract/driver.harness.js';
import { PROGRAM, programs, runDirWith } from '../contract/programs.js';
import { aTask } from '../contract/task.builder.js';
import type { TaskSpec } from '../driver.js';
import { RUN_DIR } from './container-spec.js';
import { DockerDriver } from './docker.driver.js';
import type { DockerDriverOptions } from './docker.options.js';
import { label } from './labels.js';

/**
 * The real engine, and the real paper image with one thing changed: it runs `program.py` of its run directory in place
 * of the supervisor. Every container, network and volume carries a fleet of this harness's own.
 */
export class DockerHarness implements DriverHarness {
  readonly fleet = uniqueName('fleet');
  readonly log = new NotedLog();
  readonly docker: Docker;
  private readonly drivers: DockerDriver[] = [];
  private readonly runDirs: string[] = [];

  private constructor(
    readonly socketPath: string,
    readonly paperImage: string,
    readonly image: string,
  ) {
    this.docker = new Docker({ socketPath });
  }

  static async create(): Promise<DockerHarness> {
    const { socketPath, paperImage } = testDocker();
    if (paperImage === null)
      throw new Error('No paper image yet: run `node tools/bootstrap.mjs --for test`.');
    const image = { repository: 'tradefleet-test/probe', tag: newId() };
    await probeImage(new Docker({ socketPath }), paperImage.ref, image);
    return new DockerHarness(socketPath, paperImage.ref, `${image.repository}:${image.tag}`);
  }

  driver(host: string, more: Partial<DockerDriverOptions> = {}): DockerDriver {
    const options = { fleet: this.fleet, host, socketPath: this.socketPath, images: { paper: this.image } };
    const driver = new DockerDriver({ ...options, ...more }, this.log);
    this.drivers.push(driver);
    return driver;
  }

  task(program: Program, fields: Partial<TaskSpec> = {}): TaskSpec {
    return this.taskRunning(programs[program], fields);
  }

  /** A task whose bot is the given Python program. */
  taskRunning(program: string, fields: Partial<TaskSpec> = {}): TaskSpec {
    const runDir = runDirWith(program);
    this.runDirs.push(runDir);
    return aTask({ runDir, ...fields });
  }

  async close(): Promise<void> {
    await Promise.all(this.drivers.map((driver) => driver.close()));
    for (const dir of this.runDirs) rmSync(dir, { recursive: true, force: true });
    const filters = { label: [`${label.fleet}=${this.fleet}`] };
    for (const { Id } of await this.docker.listContainers({ all: true, filters })) {
      await this.docker.getContainer(Id).remove({ force: true });
    }
    for (const { Id } of await this.docker.listNetworks({ filters }))
      await this.docker.getNetwork(Id).remove();
    for (const { Name } of (await this.docker.listVolumes({ filters })).Volumes) {
      await this.docker.getVolume(Name).remove();
    }
    await this.docker.getImage(this.image).remove();
  }
}

async function probeImage(
  docker: Docker,
  from: string,
  to: { repository: string; tag: string },
): Promise<void> {
  const container = await docker.createContainer({ Image: from });
  try {
    const entry = ['/usr/bin/tini', '--', '/usr/bin/python3', '-u', `${RUN_DIR}/${PROGRAM}`];
    await container.commit({
      repo: to.repository,
      tag: to.tag,
      changes: `ENTRYPOINT ${JSON.stringify(entry)}`,
    });
  } finally {
    await container.remove();
  }
}

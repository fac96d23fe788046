import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { rm } from 'node:fs/promises';
import { SystemClock } from '#libs/clock';
import type { StartCommand } from '#libs/contracts';
import { aStopCommand, startNats, testDocker, waitFor, type TestNats } from '#libs/testing';
import Docker from 'dockerode';
import type { AgentConfig } from './agent.config.js';
import { AllocationsService } from './allocations/allocations.service.js';
import { createDriver } from './host/driver.factory.js';
import { AgentFixture } from './testing/agent.fixture.js';
import { OwnDockerd } from './testing/own.dockerd.js';
import { folderInMemory } from './testing/real.bots.js';

/** A Docker Engine that ends and comes back under an agent that goes on. */
describe('a Docker Engine that is started again', () => {
  let nats: TestNats;
  let fixture: AgentFixture;
  let dockerd: OwnDockerd;
  let runRoot: string;
  let docker: Docker;
  const { socketPath, paperImage } = testDocker();

  beforeAll(async () => {
    nats = await startNats();
  });
  afterAll(async () => {
    await nats.stop();
  });
  afterEach(async () => {
    await fixture.stop();
    await startAgent({ onShutdown: 'stop' });
    await fixture.close();
    await dockerd.close();
    await rm(runRoot, { recursive: true, force: true });
  }, 180_000);

  async function start(liveRestore: boolean): Promise<StartCommand> {
    if (paperImage === null)
      throw new Error('No paper image yet: run `node tools/bootstrap.mjs --for test`.');
    dockerd = await OwnDockerd.start({ liveRestore });
    docker = new Docker({ socketPath: dockerd.socketPath });
    await dockerd.load(socketPath, paperImage.ref);
    fixture = await AgentFixture.make(nats.url);
    runRoot = await folderInMemory();
    await startAgent();
    const command = fixture.command();
    await fixture.scheduler.send(command);
    await fixture.scheduler.heard(command.allocation, 'running');
    return command;
  }

  async function startAgent(fields: Partial<AgentConfig> = {}): Promise<void> {
    const config: Partial<AgentConfig> = {
      ...{ driver: 'docker', runRoot, dockerSocket: dockerd.socketPath },
      ...{ runRootAllowDisk: !runRoot.startsWith('/dev/shm'), images: { paper: paperImage?.ref ?? '' } },
      ...fields,
    };
    const driver = await createDriver(fixture.config(config), fixture.logger, new SystemClock());
    await fixture.start(config, driver);
  }

  it('keeps bots with live-restore, and their leases with the agent', async () => {
    const { account, allocation, epoch } = await start(true);
    // Long enough that no pause of a busy machine ends it.
    fixture.scheduler.leaseTtlMs = 10_000;
    const id = fixture.part(AllocationsService).handleOf(allocation)?.id ?? '';
    const before = (await docker.getContainer(id).inspect()).State;

    await dockerd.down('SIGKILL');
    const clock = new SystemClock();
    const until_ms = clock.boottimeMs() + fixture.scheduler.leaseTtlMs + 2000;
    await waitFor(() => clock.boottimeMs() > until_ms, { timeoutMs: 30_000 });
    // The agent cannot be asked to look, and need not: the lease is renewed in a file.
    expect(() => process.kill(before.Pid, 0)).not.toThrow();
    await dockerd.up();

    expect((await docker.getContainer(id).inspect()).State).toMatchObject({
      Running: true,
      StartedAt: before.StartedAt,
    });
    await fixture.scheduler.send(
      aStopCommand({ host: fixture.host, account, allocation, epoch, graceMs: 5000 }),
    );
    expect(await fixture.scheduler.heard(allocation, 'stopped')).toMatchObject({ reason: 'asked' });
    expect(fixture.scheduler.told(allocation)).not.toContain('failed');
  }, 240_000);

  it('ends bots without it, which the agent finds out and tells', async () => {
    const { allocation } = await start(false);
    const id = fixture.part(AllocationsService).handleOf(allocation)?.id ?? '';
    const { Pid } = (await docker.getContainer(id).inspect()).State;
    await dockerd.down('SIGTERM');
    expect(() => process.kill(Pid, 0)).toThrow();
    await dockerd.up();
    await waitFor(
      () => fixture.scheduler.told(allocation).some((what) => ['failed', 'restarting'].includes(what)),
      { timeoutMs: 30_000, what: `the end, heard: ${fixture.scheduler.told(allocation).join(' ')}` },
    );
    const other = fixture.command();
    await fixture.scheduler.send(other);
    await fixture.scheduler.heard(other.allocation, 'running');
  }, 240_000);
});

import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { SystemClock } from '#libs/clock';
import type { StartCommand } from '#libs/contracts';
import { aStopCommand, startNats, testDocker, uniqueName, waitFor, type TestNats } from '#libs/testing';
import Docker from 'dockerode';
import type { AgentConfig } from './agent.config.js';
import { AllocationsService } from './allocations/allocations.service.js';
import { createDriver } from './host/driver.factory.js';
import { AgentFixture } from './testing/agent.fixture.js';
import { busy, folderInMemory } from './testing/real.bots.js';

/** The whole way with the paper image on the real engine. */
describe('an agent with the docker driver', () => {
  let nats: TestNats;
  let fixture: AgentFixture;
  let runRoot: string;
  let docker: Docker;
  const fleet = uniqueName('fleet');
  const { socketPath, paperImage } = testDocker();

  beforeAll(async () => {
    nats = await startNats();
    docker = new Docker({ socketPath });
  });
  afterAll(async () => {
    await nats.stop();
  });
  beforeEach(async () => {
    fixture = await AgentFixture.make(nats.url);
    runRoot = await folderInMemory();
  });
  afterEach(async () => {
    await fixture.stop();
    await start({ onShutdown: 'stop' });
    await fixture.close();
    await rm(runRoot, { recursive: true, force: true });
    for (const { Name } of (
      await docker.listVolumes({ filters: { label: [`io.tradefleet.fleet=${fleet}`] } })
    ).Volumes) {
      await docker.getVolume(Name).remove();
    }
  });

  async function start(fields: Partial<AgentConfig> = {}): Promise<void> {
    if (paperImage === null)
      throw new Error('No paper image yet: run `node tools/bootstrap.mjs --for test`.');
    const config: Partial<AgentConfig> = {
      driver: 'docker',
      fleet,
      runRoot,
      runRootAllowDisk: !runRoot.startsWith('/dev/shm'),
      dockerSocket: socketPath,
      images: { paper: paperImage.ref },
      ...fields,
    };
    const driver = await createDriver(fixture.config(config), fixture.logger, new SystemClock());
    await fixture.start(config, driver);
  }

  async function running(): Promise<StartCommand> {
    const command = fixture.command();
    await fixture.scheduler.send(command);
    await fixture.scheduler.heard(command.allocation, 'running');
    return command;
  }

  const containerOf = (allocation: string) => fixture.part(AllocationsService).handleOf(allocation)?.id ?? '';

  it('runs a bot in a container, adopts it after a restart and stops it', async () => {
    await start();
    const command = fixture.command({ parameters: busy });
    const { account, allocation, epoch } = command;
    await fixture.scheduler.send(command);
    await fixture.scheduler.heard(allocation, 'running');
    const id = containerOf(allocation);
    const { State, Config } = await docker.getContainer(id).inspect();
    expect(State.Running).toBe(true);
    expect(Config.Env.join(' ')).not.toContain(fixture.scheduler.password);
    expect(existsSync(join(runRoot, allocation, 'credentials.json'))).toBe(false);
    await waitFor(() => (fixture.scheduler.heartbeats.at(-1)?.allocations[0]?.observation?.equity ?? 0) > 0);

    await fixture.stop();
    await start();
    await fixture.scheduler.heard(allocation, 'adopted');
    expect(containerOf(allocation)).toBe(id);
    expect((await docker.getContainer(id).inspect()).State.StartedAt).toBe(State.StartedAt);

    await fixture.scheduler.send(
      aStopCommand({ host: fixture.host, account, allocation, epoch, graceMs: 10_000 }),
    );
    expect(await fixture.scheduler.heard(allocation, 'stopped')).toMatchObject({
      exitCode: 0,
      reason: 'asked',
    });
    await waitFor(() => !existsSync(join(runRoot, allocation)));
    await expect(docker.getContainer(id).inspect()).rejects.toMatchObject({ statusCode: 404 });
  });

  it('kills a copy of a bot that somebody starts by hand, and not the bot', async () => {
    await start();
    const { allocation } = await running();
    const id = containerOf(allocation);
    const { Config } = await docker.getContainer(id).inspect();
    const copy = await docker.createContainer({
      ...{ name: uniqueName('copy'), Image: Config.Image, Labels: Config.Labels },
      Entrypoint: ['/bin/sleep', '1000'],
      HostConfig: { NetworkMode: 'none' },
    });
    await copy.start();
    await waitFor(
      async () =>
        await copy.inspect().then(
          () => false,
          () => true,
        ),
      { timeoutMs: 30_000, what: 'the copy to be removed' },
    );
    expect((await docker.getContainer(id).inspect()).State.Running).toBe(true);
    expect(fixture.scheduler.told(allocation)).not.toContain('failed');
    await waitFor(() =>
      fixture.scheduler.events.some(
        (event) => event.type === 'tradefleet.host.stray-found' && event.data['container'] === copy.id,
      ),
    );
  }, 180_000);

  it('tells of a bot that was killed from outside', async () => {
    await start();
    const command = fixture.command();
    await fixture.scheduler.send(command);
    await fixture.scheduler.heard(command.allocation, 'running');
    const { State } = await docker.getContainer(containerOf(command.allocation)).inspect();
    execFileSync('kill', ['-9', String(State.Pid)]);
    expect(await fixture.scheduler.heard(command.allocation, 'failed')).toMatchObject({
      reason: 'exited',
      exitCode: 137,
    });
  });

  it('ends a container whose lease is not renewed', async () => {
    // Longer than a busy machine takes to bring the bot up.
    fixture.scheduler.leaseTtlMs = 10_000;
    await start();
    const command = fixture.command();
    await fixture.scheduler.send(command);
    await fixture.scheduler.heard(command.allocation, 'running');
    const id = containerOf(command.allocation);
    fixture.scheduler.withholdAll = true;
    expect(await fixture.scheduler.heard(command.allocation, 'failed')).toMatchObject({
      reason: 'lease-ended',
    });
    await waitFor(
      async () =>
        await docker
          .getContainer(id)
          .inspect()
          .then(
            () => false,
            () => true,
          ),
    );
  });
});

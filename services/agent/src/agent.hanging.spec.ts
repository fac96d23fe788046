import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { rm } from 'node:fs/promises';
import { SystemClock } from '#libs/clock';
import type { StartCommand } from '#libs/contracts';
import { aStopCommand, startNats, testDocker, uniqueName, waitFor, type TestNats } from '#libs/testing';
import Docker from 'dockerode';
import type { AgentConfig } from './agent.config.js';
import { AllocationsService } from './allocations/allocations.service.js';
import { EngineProxy, type Verdict } from './drivers/docker/engine.proxy.js';
import { label } from './drivers/docker/labels.js';
import { createDriver } from './host/driver.factory.js';
import { AgentFixture } from './testing/agent.fixture.js';
import { folderInMemory } from './testing/real.bots.js';

/** The real engine, whose answers about some bots never come. */
describe('calls of the engine that hang', () => {
  let nats: TestNats;
  let fixture: AgentFixture;
  let proxy: EngineProxy;
  let runRoot: string;
  const fleet = uniqueName('fleet');
  const { socketPath, paperImage } = testDocker();
  const docker = new Docker({ socketPath });
  /** Parts of paths that are never answered. */
  const hanging = new Set<string>();

  beforeAll(async () => {
    nats = await startNats();
    proxy = await EngineProxy.start(socketPath);
    proxy.judge = (_, path): Verdict =>
      [...hanging].some((part) => path.includes(part)) ? 'swallow' : 'pass';
  });
  afterAll(async () => {
    await proxy.stop();
    await nats.stop();
  });
  beforeEach(async () => {
    hanging.clear();
    fixture = await AgentFixture.make(nats.url);
    runRoot = await folderInMemory();
  });
  afterEach(async () => {
    hanging.clear();
    proxy.cut();
    await fixture.stop();
    await start({ onShutdown: 'stop' });
    await fixture.close();
    await rm(runRoot, { recursive: true, force: true });
    const filters = { label: [`${label.fleet}=${fleet}`] };
    for (const { Name } of (await docker.listVolumes({ filters })).Volumes)
      await docker.getVolume(Name).remove();
  }, 180_000);

  async function start(fields: Partial<AgentConfig> = {}): Promise<void> {
    if (paperImage === null)
      throw new Error('No paper image yet: run `node tools/bootstrap.mjs --for test`.');
    const config: Partial<AgentConfig> = {
      ...{ driver: 'docker', fleet, runRoot, runRootAllowDisk: !runRoot.startsWith('/dev/shm') },
      ...{ dockerSocket: proxy.socketPath, images: { paper: paperImage.ref }, ...fields },
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

  async function stop({ account, allocation, epoch }: StartCommand): Promise<void> {
    await fixture.scheduler.send(
      aStopCommand({ host: fixture.host, account, allocation, epoch, graceMs: 5000 }),
    );
  }

  it('keep no other bot from its lease, its stop or its start', async () => {
    // Long enough that no pause of a busy machine ends it.
    fixture.scheduler.leaseTtlMs = 10_000;
    // One place for starts: what hangs in it must not keep it.
    await start({ startsParallelMin: 1, startsParallelMax: 1 });
    const stuck = await running();
    const [stays, goes] = [await running(), await running()];

    // One bot whose container is not spoken of any more, and is to be stopped; one that is never created.
    hanging.add(fixture.part(AllocationsService).handleOf(stuck.allocation)?.id ?? 'none');
    await stop(stuck);
    await fixture.scheduler.heard(stuck.allocation, 'stopping');
    const never = fixture.command();
    hanging.add(`name=bot-${never.account}`);
    await fixture.scheduler.send(never);
    await waitFor(() => proxy.requests.some((request) => request.includes(`name=bot-${never.account}`)));

    const beats = fixture.scheduler.heartbeats.length;
    await stop(goes);
    await fixture.scheduler.heard(goes.allocation, 'stopped');
    const late = await running();

    // After more than a lease.
    const clock = new SystemClock();
    const until_ms = clock.boottimeMs() + fixture.scheduler.leaseTtlMs + 2000;
    await waitFor(() => clock.boottimeMs() > until_ms, { timeoutMs: 40_000 });
    expect(fixture.scheduler.heartbeats.length).toBeGreaterThan(beats + 20);
    for (const { allocation } of [stays, late]) {
      expect(fixture.scheduler.told(allocation)).not.toContain('failed');
    }
    // Nobody says of what hangs that it has ended: nobody knows.
    expect(fixture.scheduler.told(stuck.allocation)).not.toContain('stopped');

    hanging.clear();
    proxy.cut();
    await fixture.scheduler.heard(stuck.allocation, 'stopped');
  }, 240_000);

  it('keep no bot from being adopted', async () => {
    await start();
    const [stuck, other] = [await running(), await running()];
    const handle = fixture.part(AllocationsService).handleOf(stuck.allocation);
    await fixture.stop();
    hanging.add(handle?.id ?? 'none');
    await start();
    await fixture.scheduler.heard(other.allocation, 'adopted');
    await fixture.scheduler.heard(stuck.allocation, 'adopted');
    await stop(other);
    await fixture.scheduler.heard(other.allocation, 'stopped');
  }, 180_000);
});

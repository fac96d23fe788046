import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { existsSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { SystemClock } from '#libs/clock';
import { aStopCommand, startNats, waitFor, type TestNats } from '#libs/testing';
import type { AgentConfig } from './agent.config.js';
import { AllocationsService } from './allocations/allocations.service.js';
import { createDriver } from './host/driver.factory.js';
import { AgentFixture } from './testing/agent.fixture.js';
import { botPython, busy, folderInMemory, supervisorPath } from './testing/real.bots.js';

/** The whole way with real bots as processes: supervisor, bot and simulated terminal. */
describe('an agent with the process driver', () => {
  let nats: TestNats;
  let fixture: AgentFixture;
  let runRoot: string;

  beforeAll(async () => {
    nats = await startNats();
  });
  afterAll(async () => {
    await nats.stop();
  });
  beforeEach(async () => {
    fixture = await AgentFixture.make(nats.url);
    runRoot = await folderInMemory();
  });
  afterEach(async () => {
    // Bots that still run are ended with the last agent.
    await fixture.stop();
    await start({ onShutdown: 'stop' });
    await fixture.close();
    await rm(runRoot, { recursive: true, force: true });
  });

  async function start(fields: Partial<AgentConfig> = {}): Promise<void> {
    const config: Partial<AgentConfig> = {
      driver: 'process',
      runRoot,
      pythonPath: botPython(),
      supervisorPath: supervisorPath(),
      leaseMarginMs: 500,
      ...fields,
    };
    const driver = await createDriver(fixture.config(config), fixture.logger, new SystemClock());
    await fixture.start(config, driver);
  }

  const handleOf = (allocation: string) => fixture.part(AllocationsService).handleOf(allocation)?.id;

  it('runs a bot until it trades, takes its password away, adopts it after a restart and stops it', async () => {
    await start();
    const command = fixture.command({ parameters: busy });
    const { account, allocation, epoch } = command;
    await fixture.scheduler.send(command);
    await fixture.scheduler.heard(allocation, 'running');
    expect(fixture.scheduler.told(allocation).filter((what) => what === 'stage-reached')).toHaveLength(6);
    expect(existsSync(join(runRoot, allocation, 'credentials.json'))).toBe(false);
    await waitFor(() => (fixture.scheduler.heartbeats.at(-1)?.allocations[0]?.observation?.equity ?? 0) > 0);

    const before = handleOf(allocation);
    expect(before).toBeDefined();
    await fixture.stop();
    await start();
    await fixture.scheduler.heard(allocation, 'adopted');
    expect(handleOf(allocation)).toBe(before);

    await fixture.scheduler.send(
      aStopCommand({ host: fixture.host, account, allocation, epoch, graceMs: 10_000 }),
    );
    // Not a child of the second agent's: the kernel tells nobody how it ended.
    expect(await fixture.scheduler.heard(allocation, 'stopped')).toMatchObject({
      exitCode: null,
      reason: 'asked',
    });
    await waitFor(() => !existsSync(join(runRoot, allocation)));
  });

  it('leaves a bot to its supervisor, which ends it with its lease, and tells so later', async () => {
    fixture.scheduler.leaseTtlMs = 3000;
    await start();
    const command = fixture.command({ parameters: busy });
    await fixture.scheduler.send(command);
    await fixture.scheduler.heard(command.allocation, 'running');
    await fixture.stop();
    const clock = new SystemClock();
    const lateness_ms = clock.boottimeMs() + fixture.scheduler.leaseTtlMs;
    await waitFor(() => clock.boottimeMs() > lateness_ms, { what: 'the end of the lease' });
    await start();
    expect(await fixture.scheduler.heard(command.allocation, 'failed')).toMatchObject({
      reason: 'lease-ended',
    });
  });

  it('tells of a bot whose parameters are wrong', async () => {
    await start();
    const command = fixture.command({ parameters: { lotz: 3 } });
    await fixture.scheduler.send(command);
    expect(await fixture.scheduler.heard(command.allocation, 'failed')).toMatchObject({
      reason: 'bad-configuration',
      exitCode: 78,
    });
  });

  it('tells of a login that the broker refuses', async () => {
    await start();
    fixture.scheduler.password = 'wrong';
    const command = fixture.command();
    await fixture.scheduler.send(command);
    expect(await fixture.scheduler.heard(command.allocation, 'failed')).toMatchObject({
      reason: 'login-refused',
      exitCode: 77,
    });
  });
});

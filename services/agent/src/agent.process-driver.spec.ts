import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { SystemClock } from '#libs/clock';
import { RestartPolicy } from '#libs/contracts';
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

  /** Process ids of the supervisors that run for an allocation, as the kernel tells. */
  function supervisorsOf(allocation: string): string[] {
    const read = (pid: string, file: string): string => {
      try {
        return readFileSync(`/proc/${pid}/${file}`, 'utf8');
      } catch {
        // Gone meanwhile.
        return '';
      }
    };
    return readdirSync('/proc').filter(
      (pid) =>
        /^[0-9]+$/.test(pid) &&
        read(pid, 'cmdline').includes('supervisor.py') &&
        read(pid, 'environ').includes(allocation),
    );
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
    // Longer than a busy machine takes to bring the bot up.
    fixture.scheduler.leaseTtlMs = 8000;
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

  it('begins a bot whose terminal crashes again, with another grant, and gives it up in the end', async () => {
    await start();
    const parameters = { ...busy, paperFault: 'crash', paperFaultAfterS: 1 };
    const restart = RestartPolicy.parse({ attempts: 1, delayMs: 200, jitter: 0 });
    const command = fixture.command({ parameters, restart });
    const { allocation } = command;
    await fixture.scheduler.send(command);
    await fixture.scheduler.heard(allocation, 'restarting');
    expect(await fixture.scheduler.heard(allocation, 'failed')).toMatchObject({
      ...{ reason: 'exited', exitCode: 70, attempt: 2 },
      detail: expect.stringContaining('defect'),
    });
    const told = fixture.scheduler.told(allocation).filter((what) => what !== 'stage-reached');
    expect(told).toEqual('accepted preparing starting running restarting running failed'.split(' '));
    expect(fixture.scheduler.grants).toHaveLength(2);
    await waitFor(() => !existsSync(join(runRoot, allocation)));
  });

  it('ends a bot whose terminal hangs, and begins it again', async () => {
    await start();
    const parameters = { ...busy, paperFault: 'hang', paperFaultAfterS: 1 };
    const restart = RestartPolicy.parse({ attempts: 1, delayMs: 200, jitter: 0 });
    const command = fixture.command({ parameters, restart, unhealthyAfterMs: 5000 });
    const { allocation } = command;
    await fixture.scheduler.send(command);
    await fixture.scheduler.heard(allocation, 'running');
    const before = supervisorsOf(allocation);
    expect(before).toHaveLength(1);
    expect(await fixture.scheduler.heard(allocation, 'restarting')).toMatchObject({ reason: 'unhealthy' });
    const after = await waitFor(() => {
      const now = supervisorsOf(allocation);
      return now.length > 0 && now[0] !== before[0] ? now : null;
    });
    expect(after).toHaveLength(1);
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

import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { BotFile, LeaseFile, ProblemError, subjects, type LogsReply } from '#libs/contracts';
import { aStopCommand, startNats, waitFor, type TestNats } from '#libs/testing';
import type { z } from 'zod';
import { AgentLifecycle } from './agent.lifecycle.js';
import type { Driver } from './drivers/driver.js';
import { AgentFixture } from './testing/agent.fixture.js';

describe('an agent', () => {
  let nats: TestNats;
  let fixture: AgentFixture;

  beforeAll(async () => {
    nats = await startNats();
  });
  afterAll(async () => {
    await nats.stop();
  });
  beforeEach(async () => {
    fixture = await AgentFixture.make(nats.url);
  });
  afterEach(async () => {
    await fixture.close();
  });

  it('registers with its keys and what it can do', async () => {
    await fixture.start({ labels: { region: 'eu' }, reservedCpuMillis: 1000 });
    expect(fixture.scheduler.registrations).toHaveLength(1);
    expect(fixture.scheduler.registrations[0]).toMatchObject({
      host: fixture.host,
      driver: 'simulated',
      labels: { region: 'eu' },
      capacity: { cpuMillis: 999_000 },
    });
  });

  it('runs a bot from its command to its stop and tells every step', async () => {
    await fixture.start();
    const command = fixture.command({ parameters: { symbol: 'EURUSD' } });
    await fixture.scheduler.send(command);
    await fixture.scheduler.heard(command.allocation, 'running');
    const bot = BotFile.parse(
      JSON.parse(await readFile(join(fixture.runDir(command.allocation), 'bot.json'), 'utf8')),
    );
    expect(bot).toMatchObject({ account: command.account, epoch: 1, parameters: { symbol: 'EURUSD' } });
    await waitFor(
      () => fixture.scheduler.heartbeats.at(-1)?.allocations[0]?.observation?.stage === 'trade-allowed',
    );

    const { account, allocation, epoch } = command;
    await fixture.scheduler.send(aStopCommand({ host: fixture.host, account, allocation, epoch }));
    const stopped = await fixture.scheduler.heard(allocation, 'stopped');

    expect(stopped).toMatchObject({ reason: 'asked', exitCode: 0, state: 'stopped', host: fixture.host });
    expect(fixture.scheduler.told(allocation).filter((what) => what !== 'stage-reached')).toEqual([
      'accepted',
      'preparing',
      'starting',
      'running',
      'stopping',
      'stopped',
    ]);
    await waitFor(async () => (await fixture.files(allocation)).length === 0, {
      what: 'the run directory to go',
    });
    await waitFor(() => fixture.engine.ofHost(fixture.host).length === 0, { what: 'the container to go' });
  });

  it('numbers its events without gaps and tells them in order', async () => {
    await fixture.start();
    const commands = Array.from({ length: 10 }, () => fixture.command());
    await Promise.all(commands.map((command) => fixture.scheduler.send(command)));
    for (const { allocation } of commands) await fixture.scheduler.heard(allocation, 'running');
    const sequences = fixture.scheduler.events.map((event) => event.attributes.sequence);
    expect(sequences).toEqual(sequences.map((_, index) => index + 1));
    expect(new Set(fixture.scheduler.events.map((event) => event.attributes.incarnation)).size).toBe(1);
  });

  it('gives the container its lease before it starts and renews it', async () => {
    fixture.scheduler.withholdAll = true;
    await fixture.start();
    const command = fixture.command();
    await fixture.scheduler.send(command);
    await waitFor(() => fixture.scheduler.told(command.allocation).includes('preparing'));
    await waitFor(() => fixture.scheduler.grants.length > 0);
    expect(fixture.engine.ofHost(fixture.host).every((task) => task.state !== 'running')).toBe(true);

    fixture.scheduler.withholdAll = false;
    await fixture.scheduler.heard(command.allocation, 'running');
    const read = async () =>
      LeaseFile.parse(
        JSON.parse(await readFile(join(fixture.runDir(command.allocation), 'lease.json'), 'utf8')),
      );
    const first = await read();
    await waitFor(async () => (await read()).deadlineBoottimeMs > first.deadlineBoottimeMs);
  });

  it('ends a bot whose lease is not renewed', async () => {
    await fixture.start();
    const command = fixture.command();
    await fixture.scheduler.send(command);
    await fixture.scheduler.heard(command.allocation, 'running');
    fixture.scheduler.withheld.add(command.allocation);
    await fixture.outlastLeases();
    const failed = await fixture.scheduler.heard(command.allocation, 'failed');
    expect(failed).toMatchObject({ reason: 'lease-ended', state: 'failed' });
  });

  it('stops what the scheduler no longer wants', async () => {
    await fixture.start();
    const command = fixture.command();
    await fixture.scheduler.send(command);
    await fixture.scheduler.heard(command.allocation, 'running');
    fixture.scheduler.unwanted.add(command.allocation);
    const stopped = await fixture.scheduler.heard(command.allocation, 'stopped');
    expect(stopped).toMatchObject({ reason: 'stale-epoch' });
  });

  it('reports an end in heartbeats until one is answered', async () => {
    await fixture.start();
    const command = fixture.command();
    await fixture.scheduler.send(command);
    await fixture.scheduler.heard(command.allocation, 'running');
    const { account, allocation, epoch } = command;
    await fixture.scheduler.send(aStopCommand({ host: fixture.host, account, allocation, epoch }));
    await waitFor(() =>
      fixture.scheduler.heartbeats.some((beat) =>
        beat.allocations.some((a) => a.id === allocation && a.state === 'stopped'),
      ),
    );
    await waitFor(() => fixture.scheduler.heartbeats.at(-1)?.allocations.length === 0);
  });

  it('ends a bot whose account has a newer epoch before it starts the newer one', async () => {
    await fixture.start();
    const older = fixture.command({ epoch: 4 });
    await fixture.scheduler.send(older);
    await fixture.scheduler.heard(older.allocation, 'running');
    const newer = fixture.command({ account: older.account, epoch: 5 });
    await fixture.scheduler.send(newer);
    await fixture.scheduler.heard(newer.allocation, 'running');
    const { events } = fixture.scheduler;
    const end = events.findIndex((event) => event.entityId === older.allocation && event.what === 'stopped');
    const begin = events.findIndex(
      (event) => event.entityId === newer.allocation && event.what === 'starting',
    );
    expect(end).toBeGreaterThanOrEqual(0);
    expect(begin).toBeGreaterThan(end);
  });

  it('answers with the last lines of a bot', async () => {
    await fixture.start();
    const command = fixture.command();
    await fixture.scheduler.send(command);
    await fixture.scheduler.heard(command.allocation, 'running');
    const ask = async (allocation: string) =>
      await fixture.scheduler.messaging.request<z.output<typeof LogsReply>>(
        subjects.agentLogs(fixture.host),
        {
          host: fixture.host,
          allocation,
          lines: 5,
        },
      );
    expect((await ask(command.allocation)).lines.map((line) => line.text)).toContain('bot started');
    await expect(ask(command.id)).rejects.toMatchObject({ code: 'bot_not_found' });
  });

  it('answers with the last lines of a bot that has ended, for a while', async () => {
    await fixture.start();
    const command = fixture.command();
    const { account, allocation, epoch } = command;
    await fixture.scheduler.send(command);
    await fixture.scheduler.heard(allocation, 'running');
    await fixture.scheduler.send(aStopCommand({ host: fixture.host, account, allocation, epoch }));
    await fixture.scheduler.heard(allocation, 'stopped');
    await waitFor(async () => (await fixture.files(allocation)).length === 0);
    const ask = async () =>
      await fixture.scheduler.messaging.request<z.output<typeof LogsReply>>(
        subjects.agentLogs(fixture.host),
        {
          ...{ host: fixture.host, allocation, lines: 1 },
        },
      );
    expect((await ask()).lines.map((line) => line.text)).toEqual(['bot ended']);
    await fixture.stop();
    await fixture.start();
    expect((await ask()).lines).toHaveLength(1);
  });

  it('answers with the last lines while the remains of a bot are being removed', async () => {
    const driver = fixture.driver();
    let isDestroyed = false;
    let letGo: () => void = () => undefined;
    const held = new Promise<void>((resolve) => (letGo = resolve));
    const destroy: Driver['destroy'] = async (handle) => {
      await driver.destroy(handle);
      isDestroyed = true;
      await held;
    };
    const slow = new Proxy<Driver>(driver, {
      get: (target, name) => (name === 'destroy' ? destroy : (Reflect.get(target, name) as unknown)),
    });
    await fixture.start({}, slow);
    const command = fixture.command();
    const { account, allocation, epoch } = command;
    await fixture.scheduler.send(command);
    await fixture.scheduler.heard(allocation, 'running');
    await fixture.scheduler.send(aStopCommand({ host: fixture.host, account, allocation, epoch }));
    await waitFor(() => isDestroyed, { what: 'the container to go' });
    const { lines } = await fixture.scheduler.messaging.request<z.output<typeof LogsReply>>(
      subjects.agentLogs(fixture.host),
      { host: fixture.host, allocation, lines: 1 },
    );
    expect(lines.map((line) => line.text)).toEqual(['bot ended']);
    letGo();
  });

  it('takes no more commands once another agent has its place, and lets its bots end with their leases', async () => {
    await fixture.start();
    const command = fixture.command();
    await fixture.scheduler.send(command);
    await fixture.scheduler.heard(command.allocation, 'running');
    const lifecycle = fixture.part(AgentLifecycle);
    fixture.scheduler.registrationRefusal = new ProblemError('host_superseded', 'Another one is here.');
    fixture.scheduler.refusal = new ProblemError('host_not_registered', 'Register first.');
    await waitFor(() => lifecycle.superseded.aborted);
    const retiring = lifecycle.retire();
    const late = fixture.command();
    await fixture.scheduler.send(late);
    await fixture.outlastLeases();
    await retiring;
    expect(fixture.engine.ofHost(fixture.host)).toHaveLength(0);
    expect(await fixture.scheduler.heard(command.allocation, 'failed')).toMatchObject({
      reason: 'lease-ended',
    });
    await fixture.stop();
    expect(fixture.scheduler.told(late.allocation)).toEqual([]);
    fixture.scheduler.registrationRefusal = null;
    fixture.scheduler.refusal = null;
    await fixture.start();
    await fixture.scheduler.heard(late.allocation, 'running');
  });

  it('does not start where another agent has its place', async () => {
    fixture.scheduler.registrationRefusal = new ProblemError('host_superseded', 'Another one is here.');
    await expect(fixture.start()).rejects.toMatchObject({ name: 'HostSuperseded' });
  });

  it('stops its bots when it ends, if so configured, and says so', async () => {
    await fixture.start({ onShutdown: 'stop' });
    const command = fixture.command();
    await fixture.scheduler.send(command);
    await fixture.scheduler.heard(command.allocation, 'running');
    await fixture.stop();
    await fixture.scheduler.heard(command.allocation, 'stopped');
    expect(fixture.engine.ofHost(fixture.host)).toHaveLength(0);
  });
});

import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { ProblemError } from '#libs/contracts';
import { startNats, waitFor, type TestNats } from '#libs/testing';
import { AgentLifecycle } from '../agent.lifecycle.js';
import { aTask } from '../drivers/contract/task.builder.js';
import type { Driver, TaskRef, TaskSpec } from '../drivers/driver.js';
import { AgentFixture } from '../testing/agent.fixture.js';

describe('housekeeping', () => {
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

  const tasks = () => fixture.engine.ofHost(fixture.host);
  const strays = () =>
    fixture.scheduler.events
      .filter((event) => event.type === 'tradefleet.host.stray-found')
      .map((event) => event.data);

  async function aStranger(fields: Partial<TaskSpec> = {}): Promise<TaskSpec> {
    const task = aTask({ host: fixture.host, ...fields });
    const driver = fixture.driver();
    await driver.prepare('create', task);
    await driver.start({ ...task, runDir: fixture.runDir(task.allocation) });
    return task;
  }

  /** Kills of this one are never answered. */
  function unkillable(isIt: (task: TaskRef) => boolean): { driver: Driver; relent: () => void } {
    const driver = fixture.driver();
    let relent: () => void = () => undefined;
    const relented = new Promise<void>((resolve) => (relent = resolve));
    const kill: Driver['kill'] = async (task) => {
      if (isIt(task)) await relented;
      await driver.kill(task);
    };
    const proxy = new Proxy<Driver>(driver, {
      get: (target, name) => (name === 'kill' ? kill : (Reflect.get(target, name) as unknown)),
    });
    return { driver: proxy, relent };
  }

  it('kills what is started behind its back, and tells', async () => {
    await fixture.start();
    const command = fixture.command();
    await fixture.scheduler.send(command);
    await fixture.scheduler.heard(command.allocation, 'running');
    const stranger = await aStranger();
    expect(await fixture.scheduler.heard(stranger.allocation, 'failed')).toMatchObject({
      reason: 'unknown-to-host',
      account: stranger.account,
    });
    await waitFor(() => strays().length === 1);
    expect(strays()[0]).toMatchObject({ host: fixture.host, kind: 'unknown', action: 'removed' });
    expect(tasks().map((task) => task.spec.allocation)).toEqual([command.allocation]);
    expect(fixture.scheduler.told(command.allocation)).not.toContain('failed');
  });

  it('kills it and lets it lie where that is configured', async () => {
    await fixture.start({ strayContainers: 'report' });
    const stranger = await aStranger();
    await fixture.scheduler.heard(stranger.allocation, 'failed');
    await waitFor(() => strays().length === 1);
    expect(strays()[0]).toMatchObject({ kind: 'unknown', action: 'killed', name: `bot-${stranger.account}` });
    expect(tasks().map((task) => task.state)).toEqual(['exited']);
  });

  it('lets a stray that cannot be killed keep nobody waiting but its own account', async () => {
    await fixture.start();
    const command = fixture.command();
    await fixture.scheduler.send(command);
    await fixture.scheduler.heard(command.allocation, 'running');
    await fixture.stop();
    const stranger = await aStranger();
    const id = tasks().find((task) => task.spec.allocation === stranger.allocation)?.id;

    const { driver, relent } = unkillable((task) => task.id === id);
    await fixture.start({}, driver);
    await fixture.scheduler.heard(command.allocation, 'adopted');
    const other = fixture.command();
    await fixture.scheduler.send(other);
    await fixture.scheduler.heard(other.allocation, 'running');

    const next = fixture.command({ account: stranger.account, tenant: stranger.tenant, epoch: 2 });
    await fixture.scheduler.send(next);
    await fixture.scheduler.heard(next.allocation, 'accepted');
    expect(fixture.scheduler.told(stranger.allocation)).toEqual([]);
    expect(fixture.scheduler.told(next.allocation)).toEqual(['accepted']);

    relent();
    await fixture.scheduler.heard(stranger.allocation, 'failed');
    await fixture.scheduler.heard(next.allocation, 'running');
    const { events } = fixture.scheduler;
    const at = (allocation: string, what: string) =>
      events.findIndex((event) => event.entityId === allocation && event.what === what);
    expect(at(stranger.allocation, 'failed')).toBeLessThan(at(next.allocation, 'preparing'));
  }, 180_000);

  it('says nothing of the end of one whose command has come while it was being killed', async () => {
    const stranger = await aStranger();
    const { driver, relent } = unkillable((task) => task.id === tasks()[0]?.id);
    await fixture.start({}, driver);
    const { allocation, account, tenant, bot, epoch } = stranger;
    await fixture.scheduler.send(fixture.command({ allocation, account, tenant, bot, epoch }));
    await fixture.scheduler.heard(allocation, 'accepted');
    relent();
    await fixture.scheduler.heard(allocation, 'running');
    expect(fixture.scheduler.told(allocation)).not.toContain('failed');
    expect(tasks()).toHaveLength(1);
  }, 180_000);

  it('leaves alone what the agent starts that took the place of this one', async () => {
    await fixture.start();
    const command = fixture.command();
    await fixture.scheduler.send(command);
    await fixture.scheduler.heard(command.allocation, 'running');
    const lifecycle = fixture.part(AgentLifecycle);
    fixture.scheduler.registrationRefusal = new ProblemError('host_superseded', 'Another one came.');
    fixture.scheduler.refusal = new ProblemError('host_not_registered', 'Register first.');
    await waitFor(() => lifecycle.superseded.aborted);
    const retired = lifecycle.retire();
    const other = await aStranger();
    // It stays until the leases of its own bots have ended, longer than a look for strays takes.
    await fixture.clock.skip(fixture.scheduler.leaseTtlMs - 5000);
    await retired;
    expect(tasks().map(({ spec, state }) => [spec.allocation, state])).toEqual([
      [other.allocation, 'running'],
    ]);
  }, 180_000);
});

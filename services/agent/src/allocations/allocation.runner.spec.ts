import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { aStopCommand, startNats, waitFor, type TestNats } from '#libs/testing';
import { DriverError, type Driver } from '../drivers/driver.js';
import { AgentFixture, steady } from '../testing/agent.fixture.js';
import { aStatus, say } from '../testing/writing.driver.js';

describe('an allocation', () => {
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

  async function run(fields: Parameters<AgentFixture['command']>[0] = {}) {
    const command = fixture.command(fields);
    await fixture.scheduler.send(command);
    return command;
  }
  /** Bots that nothing but SIGKILL ends: a stop is over when somebody kills. */
  function deaf(): Driver {
    const driver = fixture.driver();
    const stop: Driver['stop'] = async (handle) => {
      await driver.wait(handle, new AbortController().signal);
    };
    return new Proxy<Driver>(driver, {
      get: (target, name) => (name === 'stop' ? stop : (Reflect.get(target, name) as unknown)),
    });
  }
  const runs = () => fixture.engine.ofHost(fixture.host).some((task) => task.state === 'running');

  it('fails when its bot does not get on', async () => {
    await fixture.start({}, fixture.driver({ stages: ['container', 'terminal'] }));
    const { allocation } = await run({ stageTimeoutMs: 10_000 });
    const observed = () => fixture.scheduler.heartbeats.at(-1)?.allocations[0]?.observation;
    await waitFor(() => observed()?.stage === 'terminal', { what: 'the bot to get as far as it gets' });
    await fixture.clock.skip(10_000);
    expect(await fixture.scheduler.heard(allocation, 'failed')).toMatchObject({
      reason: 'stage-timeout',
      stage: 'terminal',
    });
    await waitFor(() => fixture.engine.ofHost(fixture.host).length === 0, { what: 'the container to go' });
  });

  it('fails when its bot ends by itself, and is not started again', async () => {
    const exit = { after_ms: 50, exitCode: 70, outOfMemory: false };
    await fixture.start({}, fixture.driver({ behaviour: () => ({ ...steady, exit }) }));
    const { allocation } = await run();
    expect(await fixture.scheduler.heard(allocation, 'failed')).toMatchObject({
      reason: 'exited',
      exitCode: 70,
    });
    await waitFor(() => fixture.engine.ofHost(fixture.host).length === 0);
    expect(fixture.scheduler.told(allocation).filter((what) => what === 'starting')).toHaveLength(1);
  });

  it('hands on what its bot said last, without what is no text', async () => {
    await fixture.start();
    const { allocation, epoch } = await run();
    await fixture.scheduler.heard(allocation, 'running');
    const error = 'no\0route\nto the broker';
    await say(fixture.runDir(allocation), {
      ...aStatus({ allocation, epoch }, 'trade-allowed'),
      error,
      equity: 1,
    });
    await waitFor(() => fixture.scheduler.heartbeats.at(-1)?.allocations[0]?.observation?.equity === 1);
    fixture.engine.ofHost(fixture.host)[0]?.end({ exitCode: 69, outOfMemory: false, unknown: false });
    expect(await fixture.scheduler.heard(allocation, 'failed')).toMatchObject({
      detail: expect.stringContaining('It says: no route to the broker'),
    });
  });

  it('is killed when its lease ends in the middle of a long grace', async () => {
    await fixture.start({}, deaf());
    const { account, allocation, epoch } = await run();
    await fixture.scheduler.heard(allocation, 'running');
    await fixture.scheduler.send(
      aStopCommand({ host: fixture.host, account, allocation, epoch, graceMs: 60_000 }),
    );
    await fixture.scheduler.heard(allocation, 'stopping');
    expect(runs()).toBe(true);
    fixture.scheduler.withholdAll = true;
    await fixture.outlastLeases();
    expect(await fixture.scheduler.heard(allocation, 'stopped')).toMatchObject({
      reason: 'asked',
      exitCode: 137,
    });
  });

  it('keeps its lease while it stops', async () => {
    await fixture.start({}, fixture.driver({ behaviour: () => ({ ...steady, stop_ms: 40_000 }) }));
    const { account, allocation, epoch } = await run();
    await fixture.scheduler.heard(allocation, 'running');
    await fixture.scheduler.send(
      aStopCommand({ host: fixture.host, account, allocation, epoch, graceMs: 60_000 }),
    );
    await fixture.scheduler.heard(allocation, 'stopping');
    await fixture.passAnswered(40_000);
    expect(await fixture.scheduler.heard(allocation, 'stopped')).toMatchObject({ exitCode: 0 });
  });

  it('is stopped at once by a second stop without a grace', async () => {
    await fixture.start({}, deaf());
    const { account, allocation, epoch } = await run();
    await fixture.scheduler.heard(allocation, 'running');
    const stop = { host: fixture.host, account, allocation, epoch };
    await fixture.scheduler.send(aStopCommand({ ...stop, graceMs: 60_000 }));
    await fixture.scheduler.heard(allocation, 'stopping');
    await fixture.scheduler.send(aStopCommand({ ...stop, graceMs: 0, reason: 'account-locked' }));
    expect(await fixture.scheduler.heard(allocation, 'stopped')).toMatchObject({
      reason: 'asked',
      exitCode: 137,
    });
  });

  it('is told to have ended only when its container is dead, however long that takes', async () => {
    let refusals = 3;
    const driver = fixture.driver();
    const stubborn = new Proxy<Driver>(driver, {
      get: (target, name) => {
        const value: unknown = Reflect.get(target, name);
        if (name !== 'kill' || refusals === 0) return value;
        return async () => {
          refusals -= 1;
          expect(fixture.scheduler.told(allocation)).not.toContain('failed');
          throw new DriverError('engine-timeout', 'no answer', true);
        };
      },
    });
    await fixture.start({}, stubborn);
    const { allocation } = await run();
    await fixture.scheduler.heard(allocation, 'running');
    fixture.scheduler.withholdAll = true;
    await fixture.outlastLeases();
    await waitFor(() => refusals === 0, { what: 'the engine to give in' });
    await fixture.scheduler.heard(allocation, 'failed');
    expect(runs()).toBe(false);
  });
});

import { describe, expect, it } from '@jest/globals';
import { VirtualClock } from '#libs/testing';
import { aTask } from '../contract/task.builder.js';
import { simulatedRuntimes, seededBehaviour } from './behaviour.js';
import { SimulatedDriver } from './simulated.driver.js';

const LONG = new AbortController().signal;

describe('seededBehaviour', () => {
  const options = {
    seed: 7,
    start: { min_ms: 100, max_ms: 200 },
    startFailures: 0.2,
    exits: 0.5,
    outOfMemory: 0.1,
  };
  const tasks = Array.from({ length: 2000 }, () => aTask());

  it('is the same for the same seed, task and attempt, in any order', () => {
    const [one, two] = [seededBehaviour(options), seededBehaviour(options)];
    const forwards = tasks.map((task) => one(task, 1));
    const backwards = tasks.toReversed().map((task) => two(task, 1));
    expect(backwards.toReversed()).toEqual(forwards);
    expect(tasks.map((task) => one(task, 2))).not.toEqual(forwards);
    expect(tasks.map((task) => seededBehaviour({ ...options, seed: 8 })(task, 1))).not.toEqual(forwards);
  });

  it('draws as often as it was told', () => {
    const drawn = tasks.map((task) => seededBehaviour(options)(task, 1));
    const share = (count: number): number => Math.round((count / tasks.length) * 10) / 10;
    expect(share(drawn.filter(({ startFault }) => startFault !== null).length)).toBeCloseTo(0.2);
    expect(share(drawn.filter(({ exit }) => exit !== null).length)).toBeCloseTo(0.5);
    for (const { start_ms } of drawn) expect(start_ms >= 100 && start_ms <= 200).toBe(true);
    expect(new Set(drawn.map(({ start_ms }) => start_ms)).size).toBeGreaterThan(80);
  });
});

describe('simulatedRuntimes', () => {
  it('lets bots run or exit by their version', () => {
    const { runtimes, behaviour } = simulatedRuntimes({ paper: 'runs', 'paper@broken': 'exits' });
    expect(runtimes).toEqual(['paper', 'paper@broken']);
    expect(behaviour(aTask(), 1).exit).toBeNull();
    expect(behaviour(aTask({ version: 'broken' }), 3).exit).toMatchObject({ exitCode: 70 });
  });
});

describe('the simulated driver', () => {
  it('runs thousands in one process, four starts at a time', async () => {
    const clock = new VirtualClock();
    const behaviour = seededBehaviour({ seed: 1, start: { min_ms: 100, max_ms: 100 } });
    const driver = new SimulatedDriver({ host: 'host', behaviour }, clock);
    const tasks = Array.from({ length: 3000 }, () => aTask({ host: 'host' }));
    const starting = Promise.all(
      tasks.map(async (task) => {
        await driver.prepare('create', task);
        return driver.start(task);
      }),
    );
    await clock.advance(100 * (3000 / 4) - 1);
    const running = async (): Promise<number> => {
      const { handles } = await driver.recover();
      const states = await Promise.all(handles.map((handle) => driver.inspect(handle)));
      return states.filter(({ state }) => state === 'running').length;
    };
    expect(await running()).toBe(2996);
    await clock.advance(1);
    expect(await running()).toBe(3000);
    const handles = await starting;
    await Promise.all(handles.map((handle) => driver.destroy(handle)));
    expect((await driver.recover()).handles).toEqual([]);
    await driver.close();
  });

  it('fails and ends as its behaviour says, on the injected clock', async () => {
    const clock = new VirtualClock();
    const quick = { start_ms: 10, stop_ms: 10, obeysSigterm: true };
    const driver = new SimulatedDriver(
      {
        host: 'host',
        behaviour: (_, attempt) =>
          attempt === 1
            ? { ...quick, startFault: 'engine-timeout', exit: null }
            : { ...quick, startFault: null, exit: { after_ms: 5000, exitCode: 137, outOfMemory: true } },
      },
      clock,
    );
    const task = aTask({ host: 'host' });
    await driver.prepare('create', task);
    const failing = expect(driver.start(task)).rejects.toMatchObject({
      fault: 'engine-timeout',
      retry: true,
    });
    await clock.advance(10);
    await failing;
    const starting = driver.start(task);
    await clock.advance(10);
    const handle = await starting;
    const waiting = driver.wait(handle, LONG);
    await clock.advance(4999);
    expect((await driver.inspect(handle)).state).toBe('running');
    await clock.advance(1);
    expect(await waiting).toEqual({ exitCode: 137, outOfMemory: true, unknown: false });
    await driver.close();
  });
});

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { uniqueName, waitFor } from '#libs/testing';
import type { DriverHarness } from './contract/driver.harness.js';
import { DockerHarness } from './docker/docker.harness.js';
import type { Driver, DriverFault, TaskEvent, TaskHandle, TaskSpec } from './driver.js';
import { ProcessHarness } from './process/process.harness.js';
import { SimulatedHarness } from './simulated/simulated.harness.js';

const harnesses: [string, () => Promise<DriverHarness>][] = [
  ['docker', () => DockerHarness.create()],
  ['process', async () => new ProcessHarness()],
  ['simulated', async () => new SimulatedHarness()],
];
const LONG = new AbortController().signal;
const steps = ['image', 'network', 'volume', 'create'] as const;

async function prepared(driver: Driver, task: TaskSpec): Promise<void> {
  for (const step of steps) await driver.prepare(step, task);
}

async function started(driver: Driver, task: TaskSpec): Promise<TaskHandle> {
  await prepared(driver, task);
  const handle = await driver.start(task);
  // A program that has said so has its signal handlers in place.
  await waitFor(async () => (await driver.logs(handle, 10)).some(({ text }) => text === 'bot started'));
  return handle;
}

const faulty = (fault: DriverFault, retry: boolean): unknown =>
  expect.objectContaining({ name: 'DriverError', fault, retry });

describe.each(harnesses)('the %s driver', (name, createHarness) => {
  let harness: DriverHarness;
  const host = uniqueName('host');
  let driver: Driver;

  beforeAll(async () => {
    harness = await createHarness();
    driver = harness.driver(host);
  }, 240_000);

  afterAll(() => harness.close(), 120_000);

  it('tells what the host has', async () => {
    const fingerprint = await driver.fingerprint();
    expect(fingerprint.driver).toBe(name);
    expect(fingerprint.runtimes).toContain('paper');
    expect(fingerprint.capacity.cpuMillis).toBeGreaterThan(0);
    expect(fingerprint.capacity.memoryMiB).toBeGreaterThan(0);
    expect(fingerprint.capacity.bots).toBeGreaterThan(0);
  });

  it('starts what was created; every step may be repeated', async () => {
    const task = harness.task('runs', { host });
    for (const step of steps) {
      await driver.prepare(step, task);
      await driver.prepare(step, task);
    }
    const handle = await driver.start(task);
    const { allocation, account, bot, tenant, epoch, runtime } = task;
    expect(handle).toEqual({ id: expect.any(String), allocation, account, bot, tenant, epoch, runtime });
    expect(await driver.start(task)).toEqual(handle);
    await driver.prepare('create', task);
    const status = await driver.inspect(handle);
    expect(status).toMatchObject({ state: 'running', exitCode: null, outOfMemory: false, finishedAt: null });
    expect(Date.parse(status.startedAt ?? '')).toBeGreaterThan(Date.now() - 60_000);
    await driver.destroy(handle);
  });

  it('refuses to start what was not created', async () => {
    await expect(driver.start(harness.task('runs', { host }))).rejects.toEqual(faulty('task-missing', false));
  });

  it('tells with which code a task has ended, as often as asked', async () => {
    const task = harness.task('ends-with-3', { host });
    await prepared(driver, task);
    const handle = await driver.start(task);
    const exit = { exitCode: 3, outOfMemory: false, unknown: false };
    expect(await driver.wait(handle, LONG)).toEqual(exit);
    expect(await driver.wait(handle, LONG)).toEqual(exit);
    const status = await driver.inspect(handle);
    expect(status).toMatchObject({ state: 'exited', exitCode: 3 });
    expect(status.finishedAt).not.toBeNull();
    expect(await driver.stats(handle)).toEqual({ cpuMillis: 0, memoryMiB: 0, pids: 0 });
    await driver.destroy(handle);
  });

  it('starts an ended task again', async () => {
    const task = harness.task('ends-with-3', { host });
    await prepared(driver, task);
    const first = await driver.start(task);
    await driver.wait(first, LONG);
    const { startedAt } = await driver.inspect(first);
    const second = await driver.start(task);
    expect(second.id).toBe(first.id);
    expect((await driver.inspect(second)).startedAt).not.toBe(startedAt);
    expect((await driver.wait(second, LONG)).exitCode).toBe(3);
    await driver.destroy(second);
  });

  it('stops with SIGTERM', async () => {
    const handle = await started(driver, harness.task('runs', { host }));
    await driver.stop(handle, 20_000);
    expect(await driver.inspect(handle)).toMatchObject({ state: 'exited', exitCode: 0 });
    await driver.stop(handle, 20_000);
    await driver.kill(handle);
    await driver.destroy(handle);
    await driver.stop(handle, 0);
  });

  it('stops with SIGKILL once the grace is over', async () => {
    const handle = await started(driver, harness.task('ignores-sigterm', { host }));
    await driver.stop(handle, 100);
    expect(await driver.wait(handle, LONG)).toEqual({ exitCode: 137, outOfMemory: false, unknown: false });
    await driver.destroy(handle);
  });

  it('kills', async () => {
    const handle = await started(driver, harness.task('ignores-sigterm', { host }));
    await driver.kill(handle);
    await waitFor(async () => (await driver.inspect(handle)).state === 'exited');
    expect(await driver.wait(handle, LONG)).toEqual({ exitCode: 137, outOfMemory: false, unknown: false });
    await driver.kill(handle);
    await driver.destroy(handle);
    await driver.kill(handle);
  });

  it('destroys what runs; afterwards nothing is known of it', async () => {
    const handle = await started(driver, harness.task('ignores-sigterm', { host }));
    const waiting = driver.wait(handle, LONG);
    await driver.destroy(handle);
    await driver.destroy(handle);
    expect((await driver.inspect(handle)).state).toBe('missing');
    // Whether the kill or the removal was seen first is left to chance.
    expect([137, null]).toContain((await waiting).exitCode);
    expect(await driver.wait(handle, LONG)).toEqual({ exitCode: null, outOfMemory: false, unknown: true });
    await expect(driver.stats(handle)).rejects.toEqual(faulty('task-missing', false));
    await expect(driver.logs(handle, 1)).rejects.toEqual(faulty('task-missing', false));
  });

  it('gives up waiting when told to', async () => {
    const handle = await started(driver, harness.task('runs', { host }));
    const controller = new AbortController();
    const waiting = driver.wait(handle, controller.signal);
    controller.abort(new Error('enough'));
    await expect(waiting).rejects.toThrow('enough');
    await driver.destroy(handle);
  });

  it('lets one allocation at a time hold an account', async () => {
    const account = uniqueName('account');
    const tenant = uniqueName('tenant');
    const task = (epoch: number): TaskSpec => harness.task('runs', { host, account, tenant, epoch });
    const [older, holding, newer] = [task(1), task(2), task(3)];
    const handle = await started(driver, holding);
    await expect(driver.prepare('create', newer)).rejects.toEqual(faulty('name-taken', true));
    await expect(driver.prepare('create', older)).rejects.toEqual(faulty('name-taken', false));
    await driver.discard(newer);
    expect((await driver.inspect(handle)).state).toBe('running');

    await driver.kill(handle);
    await expect(driver.prepare('create', older)).rejects.toEqual(faulty('name-taken', false));
    const next = await started(driver, newer);
    expect((await driver.inspect(handle)).state).toBe('missing');
    await expect(driver.start(holding)).rejects.toEqual(faulty('task-missing', false));
    // The first one's handle must not reach the one that has the name now.
    await driver.kill(handle);
    await driver.destroy(handle);
    expect((await driver.inspect(next)).state).toBe('running');
    await driver.destroy(next);
  });

  it('holds an account also against another host on the same engine', async () => {
    const otherHost = uniqueName('host');
    const other = harness.driver(otherHost);
    const account = uniqueName('account');
    const tenant = uniqueName('tenant');
    const handle = await started(driver, harness.task('runs', { host, account, tenant }));
    const moved = harness.task('runs', { host: otherHost, account, tenant, epoch: 2 });
    await expect(other.prepare('create', moved)).rejects.toEqual(faulty('name-taken', true));
    expect((await driver.inspect(handle)).state).toBe('running');

    // Dead remains of a fenced host do not keep the account from running elsewhere.
    await driver.kill(handle);
    const next = await started(other, moved);
    await other.destroy(next);
    await driver.destroy(handle);
  });

  it('finds its tasks again after the agent has been restarted, and no other host does', async () => {
    const before = harness.driver(host);
    const running = await started(before, harness.task('ignores-sigterm', { host }));
    const created = harness.task('runs', { host });
    await prepared(before, created);
    await before.close();

    const after = harness.driver(host);
    const { handles, unreadable } = await after.recover();
    expect(handles).toContainEqual(running);
    expect(handles.map(({ allocation }) => allocation)).toContain(created.allocation);
    expect(unreadable).toEqual([]);
    expect(await harness.driver(uniqueName('host')).recover()).toMatchObject({ handles: [], unreadable: [] });

    expect((await after.inspect(running)).state).toBe('running');
    const waiting = after.wait(running, LONG);
    await after.stop(running, 50);
    // Who is not its parent cannot learn the code of a process.
    expect(await waiting).toMatchObject(name === 'process' ? { unknown: true } : { exitCode: 137 });
    await after.destroy(running);
    await after.discard(created);
    await after.close();
  });

  it('cleans up what was prepared in part', async () => {
    const task = harness.task('runs', { host });
    await driver.prepare('network', task);
    await driver.discard(task);
    await prepared(driver, task);
    await driver.discard(task);
    await driver.discard(task);
    await expect(driver.start(task)).rejects.toEqual(faulty('task-missing', false));
    expect((await driver.recover()).handles.map(({ allocation }) => allocation)).not.toContain(
      task.allocation,
    );
  });

  it('shows the last lines and what a task uses', async () => {
    const handle = await started(driver, harness.task('runs', { host }));
    const [line, ...others] = await driver.logs(handle, 1);
    expect(others).toEqual([]);
    expect(line).toEqual({ at: expect.any(String), stream: 'stdout', text: 'bot started' });
    expect(Date.parse(line?.at ?? '')).toBeGreaterThan(Date.now() - 60_000);
    const stats = await driver.stats(handle);
    expect(stats.pids).toBeGreaterThan(0);
    expect(stats.memoryMiB).toBeGreaterThan(0);
    expect(stats.cpuMillis).toBeGreaterThanOrEqual(0);
    await driver.destroy(handle);
  });

  it('reports what happens to its tasks, and not to those of others', async () => {
    const events: TaskEvent[] = [];
    const controller = new AbortController();
    const old = await started(driver, harness.task('runs', { host }));
    driver.events((event) => events.push(event), controller.signal);
    const otherHost = uniqueName('host');
    const other = harness.driver(otherHost);
    const strange = await started(other, harness.task('runs', { host: otherHost }));
    const noise = harness.task('runs', { host });
    await prepared(driver, noise);
    // It may take a while until it listens.
    await waitFor(async () => {
      await driver.stop(await driver.start(noise), 0);
      return events.some((e) => e.allocation === noise.allocation && e.kind === 'exited');
    });

    await driver.destroy(old);
    await other.destroy(strange);
    await waitFor(() => events.some((e) => e.allocation === old.allocation && e.kind === 'destroyed'));
    expect(events.map(({ allocation }) => allocation)).not.toContain(strange.allocation);
    controller.abort();
    const seen = events.length;
    await driver.discard(noise);
    await driver.destroy(await started(driver, harness.task('runs', { host })));
    expect(events.length).toBe(seen);
  });

  it('sweeps what dead allocations have left, and nothing else', async () => {
    const dead = harness.task('runs', { host });
    const live = harness.task('runs', { host });
    await driver.prepare('network', dead);
    await driver.prepare('network', live);
    const handle = await started(driver, harness.task('runs', { host }));
    await driver.sweep(new Set([live.allocation]));
    expect(await driver.sweep(new Set([live.allocation]))).toBe(0);
    expect((await driver.inspect(handle)).state).toBe('running');
    await prepared(driver, live);
    await driver.discard(live);
    await driver.destroy(handle);
  });

  it('ends waits when closed, and lets tasks run on', async () => {
    const closing = harness.driver(host);
    const handle = await started(closing, harness.task('runs', { host }));
    const waiting = closing.wait(handle, LONG);
    const refused = expect(waiting).rejects.toEqual(faulty('engine-unavailable', true));
    await closing.close();
    await refused;
    expect((await driver.inspect(handle)).state).toBe('running');
    await driver.destroy(handle);
  });
});

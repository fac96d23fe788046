import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { SystemClock } from '#libs/clock';
import type { LeaseFile } from '#libs/contracts';
import { repositoryRoot, uniqueName, waitFor } from '#libs/testing';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  appendFileSync,
  closeSync,
  copyFileSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { programs } from '../contract/programs.js';
import type { Driver, TaskHandle, TaskSpec } from '../driver.js';
import { allProcesses, identityOf, isAlive, processEntry } from './proc-table.js';
import type { ProcessDriver } from './process.driver.js';
import { ProcessHarness } from './process.harness.js';
import { FILE_BYTES_MAX, TaskLog } from './task-log.js';

const LONG = new AbortController().signal;

async function started(driver: Driver, task: TaskSpec): Promise<TaskHandle> {
  await driver.prepare('create', task);
  return driver.start(task);
}

describe('the process driver', () => {
  const harness = new ProcessHarness();
  const host = uniqueName('host');
  let driver: ProcessDriver;

  beforeAll(() => {
    driver = harness.driver(host);
  });
  afterAll(() => harness.close());

  const reportOf = async (task: TaskSpec): Promise<string> => {
    const path = join(task.runDir, 'out', 'report');
    await waitFor(() => existsSync(path) && readFileSync(path, 'utf8').endsWith('\n'));
    return readFileSync(path, 'utf8').trim();
  };
  const recordPath = ({ account }: TaskSpec): string => join(harness.stateDir, `bot-${account}.json`);

  it('gives the bot a session of its own and nothing of its own environment', async () => {
    process.env['TRADEFLEET_NATS_PASSWORD_FOR_TEST'] = 'secret';
    const task = harness.taskRunning(
      `
import os
names = sorted(n for n in os.environ if not n.startswith("LC_"))
with open("report", "w") as file:
    print(names, os.getsid(0) == os.getpid(), os.getcwd(), file=file)
`,
      { host },
    );
    const handle = await started(driver, task);
    expect((await driver.wait(handle, LONG)).exitCode).toBe(0);
    delete process.env['TRADEFLEET_NATS_PASSWORD_FOR_TEST'];
    const names = "['LANG', 'PATH', 'PYTHONDONTWRITEBYTECODE', 'PYTHONUNBUFFERED', 'TRADEFLEET_RUN_DIR']";
    expect(await reportOf(task)).toBe(`${names} True ${join(task.runDir, 'out')}`);
    await driver.destroy(handle);
  });

  it('kills also what has left the process group and the session', async () => {
    const task = harness.taskRunning(
      `
import os, signal, time
def child(leave):
    pid = os.fork()
    if pid == 0:
        leave()
        while True: signal.pause()
    return pid
pids = [child(lambda: None), child(lambda: os.setpgid(0, 0)), child(os.setsid)]
with open("report", "w") as file: print(*pids, file=file)
while True: signal.pause()
`,
      { host },
    );
    const handle = await started(driver, task);
    const pids = (await reportOf(task)).split(' ').map(Number);
    expect(pids).toHaveLength(3);
    expect((await driver.stats(handle)).pids).toBe(4);
    await driver.kill(handle);
    for (const pid of pids) expect(processEntry(pid)?.zombie ?? true).toBe(true);
    await driver.destroy(handle);
  });

  it('kills what a bot has left behind when it ended by itself', async () => {
    const task = harness.taskRunning(
      `
import os, signal
pid = os.fork()
if pid == 0:
    while True: signal.pause()
with open("report", "w") as file: print(pid, file=file)
`,
      { host },
    );
    const handle = await started(driver, task);
    expect((await driver.wait(handle, LONG)).exitCode).toBe(0);
    const pid = Number(await reportOf(task));
    await waitFor(() => processEntry(pid)?.zombie ?? true);
    await driver.destroy(handle);
  });

  it('finds the task that was started before its record could be written', async () => {
    const task = harness.task('runs', { host });
    const handle = await started(driver, task);
    const record = JSON.parse(readFileSync(recordPath(task), 'utf8')) as { process: unknown };
    writeFileSync(recordPath(task), JSON.stringify({ ...record, process: null }));
    const after = harness.driver(host);
    expect(await after.start(task)).toEqual(handle);
    expect(JSON.parse(readFileSync(recordPath(task), 'utf8'))).toEqual(record);
    await after.destroy(handle);
  });

  it('never signals another process that has got the same number', async () => {
    const stranger = spawn('sleep', ['600'], { detached: true, stdio: 'ignore' });
    await once(stranger, 'spawn');
    const identity = identityOf(stranger.pid ?? 0);
    if (identity === null) throw new Error('sleep did not start');
    for (const wrong of [{ startTicks: identity.startTicks - 1 }, { bootId: 'of before' }]) {
      const task = harness.task('runs', { host });
      await driver.prepare('create', task);
      const record = JSON.parse(readFileSync(recordPath(task), 'utf8')) as object;
      writeFileSync(recordPath(task), JSON.stringify({ ...record, process: { ...identity, ...wrong } }));
      const handle = (await driver.recover()).handles.find(({ id }) => id === task.allocation);
      if (handle === undefined) throw new Error('not recovered');
      await driver.stop(handle, 0);
      await driver.kill(handle);
      expect(await driver.wait(handle, LONG)).toEqual({ exitCode: null, outOfMemory: false, unknown: true });
      await driver.destroy(handle);
      expect(isAlive(identity)).toBe(true);
    }
    stranger.kill('SIGKILL');
    await once(stranger, 'exit');
  });

  it('reports a record it cannot read, and removes it when told to', async () => {
    const lonely = new ProcessHarness();
    const reader = lonely.driver(host);
    writeFileSync(join(lonely.stateDir, 'bot-broken.json'), '{"schema":2}');
    const { handles, unreadable } = await reader.recover();
    expect(handles).toEqual([]);
    expect(unreadable).toEqual([{ id: 'bot-broken.json', why: expect.stringContaining('bot-broken.json') }]);
    await expect(reader.kill({ id: 'bot-broken.json' })).rejects.toMatchObject({ fault: 'engine-refused' });
    await reader.destroy({ id: 'bot-broken.json' });
    expect((await reader.recover()).unreadable).toEqual([]);
    await lonely.close();
  });

  it('says so when Python is missing', async () => {
    const without = harness.driver(host, { pythonPath: '/nowhere/python3' });
    await expect(without.fingerprint()).rejects.toMatchObject({ fault: 'engine-unavailable' });
    const task = harness.task('runs', { host });
    await without.prepare('create', task);
    await expect(without.start(task)).rejects.toMatchObject({ fault: 'engine-refused', retry: true });
    expect(await driver.inspect({ ...task, id: task.allocation })).toMatchObject({ state: 'created' });
    await without.discard(task);
  });

  it('runs the program of the version that a task names, and none that is not on its list', async () => {
    const other = join(harness.stateDir, 'v2.py');
    writeFileSync(other, 'open("report", "w").write("v2\\n")');
    const both = harness.driver(host, { supervisorPaths: { 'paper@v2': other } });
    expect((await both.fingerprint()).runtimes).toEqual(['paper', 'paper@v2']);
    const task = harness.task('runs', { host, version: 'v2' });
    const handle = await started(both, task);
    expect(await reportOf(task)).toBe('v2');
    await both.destroy(handle);

    const unknown = harness.task('runs', { host, version: 'v3' });
    await expect(started(both, unknown)).rejects.toMatchObject({ fault: 'image-missing', retry: false });
    await both.discard(unknown);
  });

  it('runs the real supervisor, which starts its bot under a lease and hands signals on', async () => {
    const home = mkdtempSync(join(tmpdir(), 'tradefleet-bot-'));
    const sources = join(repositoryRoot(), 'bot-fourni');
    for (const file of readdirSync(sources).filter((name) => name.endsWith('.py'))) {
      copyFileSync(join(sources, file), join(home, file));
    }
    writeFileSync(join(home, 'main.py'), programs.runs);
    const real = harness.driver(host, { supervisorPath: join(home, 'supervisor.py') });
    const task = harness.task('runs', { host });
    const now_ms = new SystemClock().boottimeMs();
    const lease: LeaseFile = {
      schema: 1,
      allocation: task.allocation,
      epoch: task.epoch,
      deadlineBoottimeMs: now_ms + 60_000,
      writtenBoottimeMs: now_ms,
    };
    writeFileSync(join(task.runDir, 'lease.json'), JSON.stringify(lease));
    const handle = await started(real, task);
    await waitFor(async () => (await real.logs(handle, 10)).some(({ text }) => text === 'bot started'));
    expect((await real.stats(handle)).pids).toBe(2);
    await real.stop(handle, 20_000);
    expect(await real.wait(handle, LONG)).toEqual({ exitCode: 0, outOfMemory: false, unknown: false });
    const [line] = await real.logs(handle, 1);
    expect(line?.text).toContain('bot ended');
    expect(Date.parse(line?.at ?? '')).toBeGreaterThan(Date.now() - 60_000);
    await real.destroy(handle);
    rmSync(home, { recursive: true });
  });

  it('keeps its files for itself', async () => {
    const task = harness.task('runs', { host });
    await driver.prepare('create', task);
    expect(statSync(recordPath(task)).mode & 0o777).toBe(0o600);
    expect(readdirSync(harness.stateDir).filter((name) => name.endsWith('.tmp'))).toEqual([]);
    await driver.discard(task);
  });
});

describe('the log of a process', () => {
  it('is cut back when it has grown too large, and goes on', () => {
    const dir = mkdtempSync(join(tmpdir(), 'tradefleet-log-'));
    const log = new TaskLog(dir);
    for (const descriptor of Object.values(log.open())) closeSync(descriptor);
    const path = join(dir, 'stdout.log');
    appendFileSync(path, `${'x'.repeat(99)}\n`.repeat(FILE_BYTES_MAX / 100 + 1));
    appendFileSync(path, 'before\n');
    log.trim();
    expect(statSync(path).size).toBe(0);
    appendFileSync(path, '{"time":"2026-01-01T00:00:00.000Z","msg":"after"}\nunfinished');
    expect(log.last(2).map(({ text }) => text.slice(0, 8))).toEqual(['before', '{"time":']);
    log.trim();
    expect(statSync(path).size).toBeGreaterThan(0);
    log.remove();
    expect(log.last(10)).toEqual([]);
  });
});

describe('the table of processes', () => {
  it('knows this process', () => {
    const own = allProcesses().find(({ pid }) => pid === process.pid);
    expect(own).toMatchObject({ parent: process.ppid, zombie: false });
    expect(own?.cpu_ms).toBeGreaterThan(0);
  });
});

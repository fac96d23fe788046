import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ServerProcess } from './server-process.js';
import { waitFor } from './wait-for.js';

const shell = async (script: string): Promise<string> => {
  const child = spawn('/bin/sh', ['-c', script], { stdio: ['ignore', 'pipe', 'ignore'] });
  let text = '';
  child.stdout.on('data', (chunk: Buffer) => (text += chunk.toString('utf8')));
  await once(child, 'close');
  return text.trim();
};
const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
};
/** Pids of the guardians of a server, as /proc tells. */
const guardiansOf = async (pid: number): Promise<string> =>
  await shell(
    `for p in /proc/[0-9]*; do tr '\\0' ' ' 2>/dev/null <$p/cmdline | grep -q 'tradefleet-guardian [^ ]* ${pid} ' && echo \${p#/proc/}; done; true`,
  );

describe('a server process', () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'tradefleet-server-'));
  });
  afterEach(async () => {
    await rm(folder, { recursive: true, force: true });
  });

  const start = async (script: string, ownerPid = process.pid, removes?: string): Promise<ServerProcess> =>
    await ServerProcess.start({
      command: '/bin/sh',
      args: ['-c', script],
      logFile: join(folder, 'server.log'),
      ownerPid,
      ownerGoneSignal: 'SIGKILL',
      ...(removes === undefined ? {} : { ownerGoneRemoves: removes }),
    });

  it('writes its log, and says how it ended', async () => {
    const server = await start('echo hello; exit 3');
    await expect(server.exited).resolves.toBe('code 3');
    expect(server.end).toBe('code 3');
    expect(server.logTail()).toBe('hello\n');
  });

  it('is killed when it does not end in its grace', async () => {
    const server = await start(`trap '' TERM; echo ready; while :; do sleep 0.05; done`);
    await waitFor(() => server.logTail() !== '');
    await server.stop('SIGTERM', 50);
    expect(server.end).toBe('SIGKILL');
  });

  it('has a guardian that goes with it', async () => {
    const server = await start('exec sleep 600');
    await waitFor(async () => (await guardiansOf(server.pid)) !== '', { what: 'the guardian' });
    await server.stop('SIGTERM', 5000);
    await waitFor(async () => (await guardiansOf(server.pid)) === '', { what: 'the guardian to go' });
  });

  it('ends with another owner, too, and its folder goes', async () => {
    const removes = join(folder, 'removes');
    mkdirSync(removes);
    const owner: ChildProcess = spawn('/bin/sh', ['-c', 'exec sleep 600'], { stdio: 'ignore' });
    const server = await start('exec sleep 600', owner.pid, removes);
    owner.kill('SIGKILL');
    await expect(server.exited).resolves.toBe('SIGKILL');
    await waitFor(() => !existsSync(removes), { what: 'the folder to be removed' });
  });

  it('ends when the process that started it is killed', async () => {
    const pidFile = join(folder, 'pid');
    const program = `
      const { ServerProcess } = await import('#libs/testing');
      const { writeFileSync } = await import('node:fs');
      const server = await ServerProcess.start({
        command: '/bin/sh', args: ['-c', 'exec sleep 600'], logFile: ${JSON.stringify(join(folder, 'owned.log'))},
        ownerPid: process.pid, ownerGoneSignal: 'SIGKILL',
      });
      writeFileSync(${JSON.stringify(pidFile)}, String(server.pid));
      setInterval(() => undefined, 1000);`;
    const owner = spawn(process.execPath, ['--input-type=module', '--eval', program], { stdio: 'ignore' });
    const text = await waitFor(() => existsSync(pidFile) && readFileSync(pidFile, 'utf8'), {
      what: 'the server',
      timeoutMs: 30_000,
    });
    owner.kill('SIGKILL');
    await waitFor(() => !isAlive(Number(text)), { what: 'the server to end', timeoutMs: 30_000 });
  });
});

import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { execFileSync } from 'node:child_process';
import { closeSync, mkdirSync, openSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { newId, type BotFile, type CredentialsFile } from '#libs/contracts';
import { aStatus, say } from '../testing/writing.driver.js';
import { RunDirectories } from './run-directories.js';

describe('RunDirectories', () => {
  let root: string;
  let directories: RunDirectories;
  const allocation = newId();
  const bot: BotFile = {
    schema: 1,
    tenant: 't',
    bot: 'b',
    account: 'a',
    allocation,
    epoch: 2,
    host: 'h',
    runtime: 'paper',
    parameters: { symbol: 'EURUSD' },
    stageTimeoutMs: 1000,
    stopGraceMs: 1000,
  };
  const credentials: CredentialsFile = {
    schema: 1,
    allocation,
    epoch: 2,
    login: 1,
    password: 'secret',
    server: 'Paper-Demo',
    expiresAt: '2030-01-01T00:00:00.000Z',
  };
  const mode = async (...path: string[]) => (await stat(join(root, allocation, ...path))).mode & 0o777;

  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), 'tradefleet-run-'));
    directories = new RunDirectories(root, null);
  });
  afterEach(async () => {
    await rm(root, { recursive: true, force: true });
  });

  it('makes what a bot needs to begin, again and again', async () => {
    await directories.make(bot);
    await directories.make(bot);
    expect((await readdir(join(root, allocation))).sort()).toEqual(['bot.json', 'control.json', 'out']);
    expect(JSON.parse(await readFile(join(root, allocation, 'bot.json'), 'utf8'))).toEqual(bot);
    const control: unknown = JSON.parse(await readFile(join(root, allocation, 'control.json'), 'utf8'));
    expect(control).toMatchObject({ trading: 'enabled', sequence: 0 });
    expect(await mode()).toBe(0o700);
    expect(await mode('bot.json')).toBe(0o444);
  });

  it('gives the bot its own and nothing more', async () => {
    if (process.getuid?.() !== 0) return;
    directories = new RunDirectories(root, { uid: 911, gid: 911 });
    await directories.make(bot);
    await directories.writeCredentials(credentials);
    const owners = async (...path: string[]) => {
      const { uid, gid } = await stat(join(root, allocation, ...path));
      return [uid, gid];
    };
    expect([await owners(), await mode()]).toEqual([[0, 911], 0o750]);
    expect([await owners('out'), await mode('out')]).toEqual([[911, 911], 0o700]);
    expect([await owners('credentials.json'), await mode('credentials.json')]).toEqual([[911, 911], 0o400]);
    expect([await owners('bot.json'), await mode('bot.json')]).toEqual([[0, 0], 0o444]);
  });

  it('replaces a lease whole and reads it back', async () => {
    await directories.make(bot);
    const lease = { schema: 1, allocation, epoch: 2, deadlineBoottimeMs: 10, writtenBoottimeMs: 5 } as const;
    await directories.writeLease(lease);
    await directories.writeLease({ ...lease, deadlineBoottimeMs: 20 });
    expect(await directories.readLease(allocation)).toMatchObject({ deadlineBoottimeMs: 20 });
    expect((await readdir(join(root, allocation))).filter((name) => name.endsWith('.new'))).toEqual([]);
  });

  it('clears all of an attempt but what it is told about trading, which the next one finds as it was', async () => {
    await directories.make(bot);
    await directories.writeCredentials(credentials);
    const control = join(root, allocation, 'control.json');
    const halted = { schema: 1, trading: 'halted', reason: 'a person', by: 'user:test', sequence: 7 };
    await rm(control);
    await writeFile(control, JSON.stringify(halted), { mode: 0o444 });
    await directories.clear(allocation);
    expect(await readdir(join(root, allocation))).toEqual(['control.json']);
    await directories.make(bot);
    expect(JSON.parse(await readFile(control, 'utf8'))).toEqual(halted);
    expect((await readdir(join(root, allocation))).sort()).toEqual(['bot.json', 'control.json', 'out']);
    await directories.clear(newId());
  });

  it('removes what a bot has nested deeper than a path may be long', async () => {
    await directories.make(bot);
    const name = 'd'.repeat(250);
    let folder = openSync(directories.outPath(allocation), 'r');
    for (let depth = 0; depth < 20; depth += 1) {
      const below = `/proc/self/fd/${folder}/${name}`;
      mkdirSync(below);
      const next = openSync(below, 'r');
      closeSync(folder);
      folder = next;
    }
    closeSync(folder);
    await directories.remove(allocation);
    expect(await readdir(root)).toEqual([]);
  });

  it('writes over what a crash has left half-written', async () => {
    await directories.make(bot);
    await writeFile(join(root, allocation, '.credentials.json.new'), 'half', { mode: 0o444 });
    await directories.writeCredentials(credentials);
    expect(await mode('credentials.json')).toBe(0o400);
    await directories.removeCredentials(allocation);
    await directories.removeCredentials(allocation);
    expect(await readdir(join(root, allocation))).not.toContain('credentials.json');
  });

  it.each<[string, () => Promise<void>]>([
    ['no JSON', async () => await say(join(root, allocation), '{"schema":')],
    ['another shape', async () => await say(join(root, allocation), { schema: 1 })],
    [
      'another allocation',
      async () => await say(join(root, allocation), aStatus({ allocation: newId(), epoch: 2 }, 'login')),
    ],
    [
      'another epoch',
      async () => await say(join(root, allocation), aStatus({ allocation, epoch: 1 }, 'login')),
    ],
    ['too much', async () => await say(join(root, allocation), 'x'.repeat(64 * 1024 + 1))],
    [
      'a link to elsewhere',
      async () => await symlink('/etc/hostname', join(root, allocation, 'out', 'status.json')),
    ],
    ['a directory', async () => await mkdir(join(root, allocation, 'out', 'status.json'))],
    [
      'a pipe that nobody writes to',
      async () => {
        execFileSync('mkfifo', [join(root, allocation, 'out', 'status.json')]);
      },
    ],
  ])('refuses a status that is %s', async (_, write) => {
    await directories.make(bot);
    await write();
    await expect(directories.readStatus(allocation, 2)).rejects.toThrow();
  });

  it('reads a status and drops what it does not know', async () => {
    await directories.make(bot);
    expect(await directories.readStatus(allocation, 2)).toBeNull();
    const status = aStatus({ allocation, epoch: 2 }, 'login');
    await say(join(root, allocation), { ...status, shell: '/bin/sh' });
    expect(await directories.readStatus(allocation, 2)).toEqual(status);
  });

  it('lists and removes directories of allocations and never what is elsewhere', async () => {
    await directories.make(bot);
    await mkdir(join(root, 'lost+found'));
    await symlink('/etc', join(root, allocation, 'out', 'etc'));
    expect(await directories.list()).toEqual([allocation]);
    await directories.remove(allocation);
    await directories.remove(allocation);
    expect(await directories.list()).toEqual([]);
    expect((await readdir('/etc')).length).toBeGreaterThan(0);
    expect(() => directories.path('../../etc')).toThrow();
  });
});

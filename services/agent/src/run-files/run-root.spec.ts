import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { existsSync } from 'node:fs';
import { chmod, chown, mkdir, mkdtemp, rm, stat, statfs, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { StartupFault } from '../errors.js';
import { prepareRunRoot } from './run-root.js';

const tmpfs_magic = 0x01021994;

describe('the run root', () => {
  const folders: string[] = [];
  let disk: string;

  const folderIn = async (parent: string) => {
    const folder = await mkdtemp(join(parent, 'tradefleet-root-'));
    folders.push(folder);
    return folder;
  };
  beforeEach(async () => {
    disk = await folderIn(tmpdir());
  });
  afterEach(async () => {
    for (const folder of folders.splice(0)) await rm(folder, { recursive: true, force: true });
  });

  it('is made private', async () => {
    const root = join(disk, 'run', 'tradefleet');
    await prepareRunRoot(root, 'h', true);
    expect((await stat(root)).mode & 0o777).toBe(0o700);
  });

  it('must be memory, unless it was allowed not to be', async () => {
    if ((await statfs(disk)).type !== tmpfs_magic) {
      await expect(prepareRunRoot(disk, 'h', false)).rejects.toThrow(StartupFault);
    }
    if (existsSync('/dev/shm')) {
      const memory = await folderIn('/dev/shm');
      await expect(prepareRunRoot(memory, 'h', false)).resolves.toBeUndefined();
    }
    await expect(prepareRunRoot(disk, 'h', true)).resolves.toBeUndefined();
  });

  it('is not taken from others, who could make it first where its name can be foreseen', async () => {
    const elsewhere = join(disk, 'elsewhere');
    await mkdir(elsewhere);
    await symlink(elsewhere, join(disk, 'link'));
    await expect(prepareRunRoot(join(disk, 'link'), 'h', true)).rejects.toThrow(/not safe/);

    const open = join(disk, 'open');
    await mkdir(join(open, 'run'), { recursive: true });
    await chmod(open, 0o777);
    await expect(prepareRunRoot(join(open, 'run'), 'h', true)).rejects.toThrow(/not safe/);
    // As /tmp and /dev/shm are: there, only owners rename.
    await chmod(open, 0o1777);
    await expect(prepareRunRoot(join(open, 'run'), 'h', true)).resolves.toBeUndefined();

    if (process.getuid?.() !== 0) return;
    const foreign = join(disk, 'foreign');
    await mkdir(foreign, { mode: 0o755 });
    await chown(foreign, 65_534, 65_534);
    await expect(prepareRunRoot(foreign, 'h', true)).rejects.toThrow(/not safe/);
    await expect(prepareRunRoot(join(foreign, 'below'), 'h', true)).rejects.toThrow(/not safe/);
    expect((await stat(foreign)).mode & 0o777).toBe(0o755);
  });

  it('belongs to one host', async () => {
    await prepareRunRoot(disk, 'h', true);
    await prepareRunRoot(disk, 'h', true);
    await expect(prepareRunRoot(disk, 'other', true)).rejects.toThrow(/belongs to host h/);
  });
});

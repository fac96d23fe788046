import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { existsSync } from 'node:fs';
import { mkdtemp, rm, stat, statfs } from 'node:fs/promises';
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

  it('belongs to one host', async () => {
    await prepareRunRoot(disk, 'h', true);
    await prepareRunRoot(disk, 'h', true);
    await expect(prepareRunRoot(disk, 'other', true)).rejects.toThrow(/belongs to host h/);
  });
});

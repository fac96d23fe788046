import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ServerProcess } from '#libs/testing';
import { identify } from '../../../deploy/local/src/fleet.record.js';
import { recordRun, removeLeftovers } from './leftovers.js';

describe('leftovers', () => {
  let folder: string;
  let path: string;
  const run = { id: 'zz', block: 254, hosts: [] };

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'tradefleet-left-'));
    path = join(folder, 'record.json');
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  it('finds nothing where nothing was recorded', async () => {
    expect(await removeLeftovers(path)).toBe(false);
  });

  it('leaves a run alone that is going on', async () => {
    const logFile = join(folder, 'other.log');
    const how = { command: '/bin/sleep', args: ['1000'], logFile, ownerPid: process.pid } as const;
    const other = await ServerProcess.start({ ...how, ownerGoneSignal: 'SIGKILL' });
    const engines = join(folder, 'engines');
    mkdirSync(engines);
    writeFileSync(path, JSON.stringify({ schema: 1, main: identify(other.pid), ...run, folders: [engines] }));
    try {
      await expect(removeLeftovers(path)).rejects.toThrow(`A run is going on (pid ${other.pid})`);
      expect(existsSync(engines)).toBe(true);
    } finally {
      await other.kill();
    }
  });

  it('refuses a record that names what no run makes', async () => {
    recordRun(path, { ...run, folders: [] });
    const record = JSON.parse(readFileSync(path, 'utf8')) as object;
    writeFileSync(path, JSON.stringify({ ...record, folders: ['/'] }));
    await expect(removeLeftovers(path)).rejects.toThrow();
    writeFileSync(path, JSON.stringify({ ...record, hosts: ['../x'] }));
    await expect(removeLeftovers(path)).rejects.toThrow();
  });
});

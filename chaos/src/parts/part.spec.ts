import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SystemClock } from '#libs/clock';
import { waitFor } from '#libs/testing';
import { Part } from './part.js';
import { processes, signal } from './processes.js';

const stateOf = (pid: number): string => processes().find((row) => row.pid === pid)?.state ?? 'gone';

describe('Part', () => {
  let folder: string;
  let part: Part;
  let ends: number;

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'tradefleet-part-'));
    ends = 0;
    part = new Part(
      {
        ...{
          name: 'one',
          command: '/bin/sh',
          args: ['-c', 'sleep 1000 & wait'],
          env: { PATH: process.env['PATH'] },
        },
        ...{ logFile: join(folder, 'one.log'), stopGraceMs: 5000, onEnd: () => (ends += 1) },
      },
      new SystemClock(),
    );
    await part.start();
  });
  afterEach(async () => {
    await part.stop();
    rmSync(folder, { recursive: true, force: true });
  });
  const pid = async (): Promise<number> => await waitFor(() => part.pid);

  it('stays down from kill to release, and tells of every end', async () => {
    const before = await pid();
    await part.kill();
    expect(part.pid).toBeNull();
    await waitFor(() => ends === 1);
    part.release();
    expect(await pid()).not.toBe(before);
    expect(part.endsBySelf).toBe(0);
  });

  it('starts again what ends by itself', async () => {
    const before = await pid();
    signal(before, 'SIGKILL');
    await waitFor(() => part.pid !== null && part.pid !== before);
    expect(part.endsBySelf).toBe(1);
  });

  it('freezes and thaws a process with all below it, and can be stopped while it is frozen', async () => {
    const above = await pid();
    const below = await waitFor(() => processes().find((row) => row.parent === above)?.pid);
    part.freeze({ tree: true });
    await waitFor(() => stateOf(above) === 'T' && stateOf(below) === 'T');
    part.thaw({ tree: true });
    await waitFor(() => stateOf(above) === 'S' && stateOf(below) === 'S');
    part.freeze();
    await waitFor(() => stateOf(above) === 'T');
    await part.stop();
    expect(part.pid).toBeNull();
    signal(below, 'SIGKILL');
  });
});

import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { BotFile } from '#libs/contracts';
import { VirtualClock, aStartCommand } from '#libs/testing';
import { SimulatedDriver } from '../../drivers/simulated/simulated.driver.js';
import { RunDirectories } from '../../run-files/run-directories.js';
import { RecordedContext, aRecord } from '../../testing/hook.context.js';
import { PrepareVolumeHook } from './prepare-volume.hook.js';

describe('PrepareVolumeHook', () => {
  let root: string;
  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), 'tradefleet-run-'));
  });
  afterEach(async () => {
    await rm(root, { recursive: true, force: true });
  });

  it('tells the bot what it is, again and again', async () => {
    const files = new RunDirectories(root, null);
    const hook = new PrepareVolumeHook(new SimulatedDriver({ host: 'h' }), files, new VirtualClock());
    const record = aRecord(
      {},
      aStartCommand({ parameters: { symbol: 'EURUSD', lots: 0.1 }, stageTimeoutMs: 9000 }),
    );
    await hook.run(new RecordedContext(record));
    await hook.run(new RecordedContext(record));
    const bot = BotFile.parse(JSON.parse(await readFile(join(files.path(record.id), 'bot.json'), 'utf8')));
    expect(bot).toMatchObject({
      account: record.account,
      allocation: record.id,
      epoch: record.epoch,
      parameters: { symbol: 'EURUSD', lots: 0.1 },
      stageTimeoutMs: 9000,
      stopGraceMs: record.command.stopGraceMs,
    });
  });

  it('writes nothing for a driver without files', async () => {
    const hook = new PrepareVolumeHook(new SimulatedDriver({ host: 'h' }), null, new VirtualClock());
    await expect(hook.run(new RecordedContext())).resolves.toBeUndefined();
  });
});

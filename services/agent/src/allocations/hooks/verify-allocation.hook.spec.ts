import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { aCapacity } from '#libs/testing';
import { AgentDatabase } from '../../state/agent.database.js';
import { FencesRepository } from '../../state/fences.repository.js';
import { RecordedContext, aRecord } from '../../testing/hook.context.js';
import { VerifyAllocationHook } from './verify-allocation.hook.js';

describe('VerifyAllocationHook', () => {
  let folder: string;
  let db: AgentDatabase;
  let fences: FencesRepository;
  let hook: VerifyAllocationHook;
  const record = aRecord({ epoch: 4 });

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'tradefleet-verify-'));
    db = new AgentDatabase(join(folder, 'agent.sqlite'));
    fences = new FencesRepository(db);
    hook = new VerifyAllocationHook(fences, { runtimes: ['paper', 'paper@v2'], capacity: aCapacity() });
    await db.commit(() => fences.raise(record.account, 4));
  });
  afterEach(async () => {
    db.close();
    await rm(folder, { recursive: true, force: true });
  });

  const run = async (context: RecordedContext) => {
    await hook.run(context);
  };

  it('lets the newest allocation of an account go on', async () => {
    await expect(run(new RecordedContext(record))).resolves.toBeUndefined();
  });

  it('ends one that a newer epoch has passed', async () => {
    await db.commit(() => fences.raise(record.account, 5));
    await expect(run(new RecordedContext(record))).rejects.toMatchObject({ reason: 'stale-epoch' });
  });

  it('ends one whose runtime is not here', async () => {
    const context = new RecordedContext(record, undefined, { runtime: 'mt5' });
    await expect(run(context)).rejects.toMatchObject({ reason: 'start-failed' });
  });

  it('ends one whose version is not on the list of this host, whatever else is', async () => {
    const wanted = (version: string) => new RecordedContext(record, undefined, { version });
    await expect(run(wanted('v2'))).resolves.toBeUndefined();
    await expect(run(wanted('v3'))).rejects.toMatchObject({
      reason: 'start-failed',
      message: expect.stringContaining('paper@v3'),
    });
  });

  it('ends one that asks for more than the host has', async () => {
    const resources = { cpuMillis: 100_000, memoryMiB: 64, pids: 8 };
    const context = new RecordedContext(record, undefined, { resources });
    await expect(run(context)).rejects.toMatchObject({ reason: 'start-failed' });
  });
});

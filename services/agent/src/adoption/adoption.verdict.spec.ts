import { describe, expect, it } from '@jest/globals';
import type { AllocationState } from '#libs/contracts';
import type { TaskHandle, TaskStatus } from '../drivers/driver.js';
import { aRecord } from '../testing/hook.context.js';
import { adoptionVerdict, type Verdict } from './adoption.verdict.js';

describe('what becomes of what an agent finds', () => {
  const record = aRecord({ epoch: 3, state: 'running' });
  const container = (status: Partial<TaskStatus>, epoch = 3) => ({
    handle: {
      id: 'c1',
      allocation: record.id,
      account: record.account,
      bot: 'b',
      tenant: 't',
      epoch,
      runtime: 'paper',
    } satisfies TaskHandle,
    status: {
      state: 'running',
      exitCode: null,
      outOfMemory: false,
      startedAt: null,
      finishedAt: null,
      ...status,
    } satisfies TaskStatus,
  });
  const running = container({});

  it.each<[string, Parameters<typeof adoptionVerdict>[0], Partial<Verdict>]>([
    [
      'a container nobody knows',
      { record: null, container: running, leaseLeft_ms: 9000 },
      { kind: 'remove', tell: true },
    ],
    [
      'a container of an ended allocation',
      { record: { ...record, command: null, state: 'stopped' }, container: running, leaseLeft_ms: 9000 },
      { kind: 'remove', tell: false },
    ],
    [
      'a live one under a live lease',
      { record, container: running, leaseLeft_ms: 1 },
      { kind: 'adopt', state: 'running' },
    ],
    [
      'one that was started and not recorded as such',
      { record: { ...record, state: 'preparing' }, container: running, leaseLeft_ms: 9000 },
      { kind: 'adopt', state: 'starting' },
    ],
    [
      'a live one whose lease has ended',
      { record, container: running, leaseLeft_ms: 0 },
      { kind: 'end', reason: 'lease-ended' },
    ],
    [
      'a live one without a lease',
      { record, container: running, leaseLeft_ms: null },
      { kind: 'end', reason: 'lease-ended' },
    ],
    [
      'a paused one under a live lease',
      { record, container: container({ state: 'paused' }), leaseLeft_ms: 9000 },
      { kind: 'adopt' },
    ],
    [
      'a container of another epoch',
      { record, container: container({}, 2), leaseLeft_ms: 9000 },
      { kind: 'end', reason: 'stale-epoch' },
    ],
    [
      'one that has exited',
      { record, container: container({ state: 'exited', exitCode: 77 }), leaseLeft_ms: 9000 },
      { kind: 'end', reason: 'login-refused', exitCode: 77 },
    ],
    [
      'one that has exited after its lease, nobody knows how',
      { record, container: container({ state: 'exited' }), leaseLeft_ms: -1 },
      { kind: 'end', reason: 'lease-ended', exitCode: null },
    ],
    [
      'one that has exited under its lease, nobody knows how',
      { record, container: container({ state: 'exited' }), leaseLeft_ms: 1 },
      { kind: 'end', reason: 'exited', exitCode: null },
    ],
    [
      'one that was killed for its memory',
      {
        record,
        container: container({ state: 'exited', exitCode: 137, outOfMemory: true }),
        leaseLeft_ms: 9000,
      },
      { kind: 'end', reason: 'out-of-memory' },
    ],
    [
      'a started one whose container is gone',
      { record, container: null, leaseLeft_ms: 9000 },
      { kind: 'end', reason: 'exited' },
    ],
    [
      'a started one whose container never ran',
      { record, container: container({ state: 'created' }), leaseLeft_ms: 9000 },
      { kind: 'end', reason: 'exited' },
    ],
  ])('%s', (_, found, verdict) => {
    expect(adoptionVerdict(found)).toMatchObject(verdict);
  });

  it.each<AllocationState>(['accepted', 'preparing'])('goes on with what was only %s', (state) => {
    for (const found of [null, container({ state: 'created' }), container({ state: 'missing' })]) {
      const verdict = adoptionVerdict({ record: { ...record, state }, container: found, leaseLeft_ms: null });
      expect(verdict).toEqual({ kind: 'resume' });
    }
  });
});

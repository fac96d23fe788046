import { describe, expect, it } from '@jest/globals';
import { limits, newId, type AllocationState, type ObservedAllocation } from '#libs/contracts';
import { withinRoom } from './heartbeat-room.js';

const seen = (state: AllocationState, over: Partial<ObservedAllocation> = {}): ObservedAllocation => ({
  id: newId(),
  account: 'a'.repeat(63),
  epoch: 2_000_000_000,
  state,
  reason: state === 'stopping' ? 'account-locked' : null,
  detail: null,
  exitCode: null,
  attempt: 1,
  lastExit: null,
  observation: {
    stage: 'trade-allowed',
    equity: 10_000.25,
    balance: 10_000.25,
    currency: 'EUR',
    positions: 3,
    ordersToday: 12,
    controlSequence: 0,
    observedAt: new Date(0).toISOString(),
  },
  ...over,
});
const ended = (): ObservedAllocation =>
  seen('failed', { observation: null, reason: 'exited', exitCode: 69, detail: 'é'.repeat(300) });
const many = (count: number, make: () => ObservedAllocation) => Array.from({ length: count }, make);
const bytes = (observed: readonly ObservedAllocation[]) => Buffer.byteLength(JSON.stringify(observed));

describe('what goes into a heartbeat', () => {
  it('is everything, as long as it fits', () => {
    const observed = [...many(50, () => seen('running')), ...many(50, ended)];
    expect(withinRoom(observed)).toEqual(observed);
  });

  it('is never more than the scheduler takes', () => {
    const observed = [...many(1000, () => seen('stopping')), ...many(1000, ended)];
    expect(bytes(withinRoom(observed))).toBeLessThan(limits.message_bytes_max - 1000);
  });

  it('is all that lives before anything else, as many as a host may have', () => {
    const live = many(1000, () => seen('stopping'));
    const fitting = withinRoom([...many(1000, ended), ...live]);
    expect(new Set(fitting.map((one) => one.id))).toEqual(
      new Set([
        ...live.map((one) => one.id),
        ...fitting.filter((one) => one.state === 'failed').map((one) => one.id),
      ]),
    );
  });

  it('gets to the end of what ended, the oldest first', () => {
    const live = many(500, () => seen('running'));
    let left = many(1000, ended);
    let heartbeats = 0;
    while (left.length > 0) {
      const told = withinRoom([...live, ...left]).filter((one) => one.state === 'failed');
      expect(told.length).toBeGreaterThan(0);
      expect(told).toEqual(left.slice(0, told.length));
      left = left.slice(told.length);
      heartbeats += 1;
    }
    expect(heartbeats).toBeLessThan(10);
  });
});

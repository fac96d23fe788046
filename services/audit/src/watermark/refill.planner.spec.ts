import { beforeEach, describe, expect, it } from '@jest/globals';
import type { ConsumerPlace } from '#libs/messaging';
import { VirtualClock } from '#libs/testing';
import { RefillPlanner } from './refill.planner.js';

const idle = (last: number): ConsumerPlace => ({ created: 'monday', last, settled: last, isIdle: true });
const busy = (settled: number, last: number): ConsumerPlace => ({
  ...{ created: 'monday', last, settled, isIdle: false },
});

describe('RefillPlanner', () => {
  let clock: VirtualClock;
  let planner: RefillPlanner;
  let place: ConsumerPlace | null;

  beforeEach(() => {
    clock = new VirtualClock();
    planner = new RefillPlanner(clock, { refillAfterMs: 10_000 });
    place = idle(9);
  });
  const look = async (upTo: number, last: number, received: [number, number][] = [[1, upTo]]) =>
    await planner.missingUpTo('one', { upTo, last, received }, async () => place);

  it('finds nothing missing that moves', async () => {
    for (let upTo = 1; upTo < 20; upTo += 1) {
      expect(await look(upTo, 100)).toBeNull();
      await clock.advance(9000);
    }
    expect(await look(100, 100)).toBeNull();
  });

  it('finds missing what stands still when the stream has been settled', async () => {
    expect(await look(3, 7)).toBeNull();
    await clock.advance(9999);
    expect(await look(3, 8)).toBeNull();
    await clock.advance(1);
    expect(await look(3, 9)).toBe(9);
  });

  it('waits for what the stream still holds, and not for what comes behind it', async () => {
    await look(3, 7);
    await clock.advance(10_000);
    place = busy(40, 50);
    expect(await look(3, 7)).toBeNull();
    place = busy(49, 90);
    // Published meanwhile: perhaps only on its way.
    expect(await look(3, 60)).toBeNull();
    place = busy(50, 95);
    expect(await look(3, 60)).toBe(7);
  });

  it('waits for nothing of a stream that is gone or another one', async () => {
    await look(3, 7);
    await clock.advance(10_000);
    place = busy(40, 50);
    expect(await look(3, 7)).toBeNull();
    place = { created: 'tuesday', last: 2, settled: null, isIdle: false };
    expect(await look(3, 7)).toBe(7);
    place = null;
    expect(await look(3, 7)).toBe(7);
  });

  it('asks for the next part as soon as one has come, and ever more seldom for what does not come', async () => {
    await look(0, 9, []);
    await clock.advance(10_000);
    expect(await look(0, 9, [])).toBe(9);
    planner.asked('one', [[1, 4]]);
    expect(await look(2, 9)).toBeNull();
    expect(await look(4, 9)).toBe(0);
    planner.asked('one', [[5, 9]]);
    expect(await look(4, 9)).toBeNull();
    await clock.advance(10_000);
    expect(await look(4, 9)).toBe(9);
    planner.asked('one', [[5, 9]]);
    await clock.advance(19_999);
    expect(await look(4, 9)).toBeNull();
    await clock.advance(1);
    expect(await look(4, 9)).toBe(9);
    for (let time = 0; time < 20; time += 1) planner.asked('one', [[5, 9]]);
    await clock.advance(600_000);
    expect(await look(4, 9)).toBe(9);
  });
});

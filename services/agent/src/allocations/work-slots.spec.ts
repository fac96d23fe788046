import { describe, expect, it } from '@jest/globals';
import { VirtualClock } from '#libs/testing';
import { WorkSlots, slot_ms_max } from './work-slots.js';

describe('WorkSlots', () => {
  const never = new AbortController().signal;

  it('lets a bounded number work and the others wait in order', async () => {
    const slots = new WorkSlots(2, new VirtualClock());
    const order: number[] = [];
    const first = await slots.take(never);
    await slots.take(never);
    const third = slots.take(never).then((giveBack) => {
      order.push(3);
      return giveBack;
    });
    const fourth = slots.take(never).then(() => order.push(4));
    first();
    first();
    const giveBack = await third;
    expect(order).toEqual([3]);
    giveBack();
    await fourth;
    expect(order).toEqual([3, 4]);
  });

  it('keeps no place for one who has left', async () => {
    const slots = new WorkSlots(1, new VirtualClock());
    const giveBack = await slots.take(never);
    const abort = new AbortController();
    const leaving = slots.take(abort.signal);
    const staying = slots.take(never);
    abort.abort();
    await expect(leaving).rejects.toMatchObject({ name: 'AbortError' });
    giveBack();
    await expect(staying).resolves.toBeInstanceOf(Function);
    await expect(slots.take(abort.signal)).rejects.toMatchObject({ name: 'AbortError' });
  });

  it('lends a slot for a bounded time, and takes it back once', async () => {
    const clock = new VirtualClock();
    const slots = new WorkSlots(1, clock);
    const hanging = await slots.take(never);
    let began = 0;
    const begin = (giveBack: () => void): (() => void) => {
      began += 1;
      return giveBack;
    };
    const second = slots.take(never).then(begin);
    const third = slots.take(never).then(begin);
    await clock.advance(slot_ms_max - 1);
    expect(began).toBe(0);
    await clock.advance(1);
    expect(began).toBe(1);
    hanging();
    await clock.advance(1);
    expect(began).toBe(1);
    (await second)();
    (await third)();
    expect(began).toBe(2);
  });
});

import { describe, expect, it } from '@jest/globals';
import { WorkSlots } from './work-slots.js';

describe('WorkSlots', () => {
  const never = new AbortController().signal;

  it('lets a bounded number work and the others wait in order', async () => {
    const slots = new WorkSlots(2);
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
    const slots = new WorkSlots(1);
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
});

import { describe, expect, it } from '@jest/globals';
import { VirtualClock } from '#libs/testing';
import { Semaphore } from './semaphore.js';

const full = (): Error => new Error('full');

describe('Semaphore', () => {
  it('lets so many work at once, in the order they came, also when work fails', async () => {
    const semaphore = new Semaphore(2, 100, full);
    const order: number[] = [];
    let working = 0;
    let workingMax = 0;
    const outcomes = await Promise.allSettled(
      Array.from({ length: 20 }, (_, index) =>
        semaphore.run(async () => {
          order.push(index);
          working += 1;
          workingMax = Math.max(workingMax, working);
          await new Promise((resolve) => setImmediate(resolve));
          working -= 1;
          if (index % 3 === 0) throw new Error('failed');
        }),
      ),
    );
    expect(workingMax).toBe(2);
    expect(order).toEqual(Array.from({ length: 20 }, (_, index) => index));
    expect(outcomes.filter(({ status }) => status === 'rejected')).toHaveLength(7);
    await expect(semaphore.run(async () => 'free again')).resolves.toBe('free again');
  });

  it('refuses more than may wait', async () => {
    const semaphore = new Semaphore(1, 1, full);
    let finish = (): void => undefined;
    const first = semaphore.run(() => new Promise<void>((resolve) => (finish = resolve)));
    const second = semaphore.run(async () => 'second');
    await expect(semaphore.run(async () => 'third')).rejects.toThrow('full');
    finish();
    await first;
    await expect(second).resolves.toBe('second');
  });

  it('takes the permit of what works overtime, once', async () => {
    const clock = new VirtualClock();
    const overtime = { clock, ms: 1000 };
    const semaphore = new Semaphore(1, 10, () => new Error('full'), overtime);
    let end: () => void = () => undefined;
    const slow = semaphore.run(async () => await new Promise<void>((resolve) => (end = resolve)));
    const order: string[] = [];
    const work = (name: string) => async (): Promise<void> => {
      order.push(name);
      await clock.sleep(500);
    };
    const others = [semaphore.run(work('second')), semaphore.run(work('third'))];
    await clock.advance(999);
    expect(order).toEqual([]);
    await clock.advance(1);
    expect(order).toEqual(['second']);
    end();
    await slow;
    expect(order).toEqual(['second']);
    await clock.advance(500);
    expect(order).toEqual(['second', 'third']);
    await clock.advance(500);
    await Promise.all(others);
  });
});

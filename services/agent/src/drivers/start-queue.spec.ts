import { describe, expect, it } from '@jest/globals';
import { VirtualClock } from '#libs/testing';
import { StartQueue } from './start-queue.js';

const full = (): Error => new Error('full');
const never = (): Promise<never> => new Promise(() => undefined);

describe('StartQueue', () => {
  it('lets a bounded number go at a time, and those nearest to a running bot first', async () => {
    const clock = new VirtualClock();
    const queue = new StartQueue({ min: 1, max: 1 }, clock, 100, full);
    const order: string[] = [];
    let under = 0;
    const work = (name: string) => async (): Promise<void> => {
      under += 1;
      expect(under).toBe(1);
      order.push(name);
      await clock.sleep(10);
      under -= 1;
    };
    const all = [
      queue.run('network', work('network 1')),
      queue.run('network', work('network 2')),
      queue.run('create', work('create')),
      queue.run('start', work('start')),
    ];
    await clock.advance(100);
    await Promise.all(all);
    expect(order).toEqual(['network 1', 'start', 'create', 'network 2']);
  });

  it('takes the place of what hangs after ten seconds, once, and does not end it', async () => {
    const clock = new VirtualClock();
    const queue = new StartQueue({ min: 1, max: 1 }, clock, 100, full);
    let answer: (text: string) => void = () => undefined;
    const hanging = queue.run(
      'start',
      async () => await new Promise<string>((resolve) => (answer = resolve)),
    );
    let went = 0;
    const other = queue.run('start', async () => {
      went += 1;
      await clock.sleep(5000);
    });
    await clock.advance(9999);
    expect(went).toBe(0);
    await clock.advance(1);
    expect(went).toBe(1);
    const third = queue.run('start', async () => {
      went += 1;
    });
    answer('late');
    expect(await hanging).toBe('late');
    // Its place was given back before: the end of the late one frees no second one.
    expect(went).toBe(1);
    await clock.advance(5000);
    await other;
    await third;
    expect(went).toBe(2);
  });

  it('gives the place back after a failure, and refuses what is too much', async () => {
    const clock = new VirtualClock();
    const queue = new StartQueue({ min: 1, max: 1 }, clock, 1, full);
    await expect(queue.run('create', async () => await Promise.reject(new Error('no')))).rejects.toThrow(
      'no',
    );
    void queue.run('create', never);
    void queue.run('create', never);
    await expect(queue.run('create', never)).rejects.toThrow('full');
  });
});

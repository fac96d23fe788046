import { describe, expect, it } from '@jest/globals';
import { VirtualClock } from './virtual-clock.js';

describe('VirtualClock', () => {
  it('wakes sleepers in the order of their time, then of their call', async () => {
    const clock = new VirtualClock(0);
    const woken: string[] = [];
    const sleep = async (name: string, ms: number) => {
      await clock.sleep(ms);
      woken.push(`${name}@${clock.monotonicMs()}`);
    };
    const all = [sleep('late', 30), sleep('first', 10), sleep('second', 10)];
    await clock.advance(10);
    expect(woken).toEqual(['first@10', 'second@10']);
    await clock.advance(100);
    await Promise.all(all);
    expect(woken).toEqual(['first@10', 'second@10', 'late@30']);
    expect(clock.wallMs()).toBe(110);
  });

  it('lets a loop sleep again within one advance', async () => {
    const clock = new VirtualClock(0);
    const ticks: number[] = [];
    const stop = new AbortController();
    const loop = (async () => {
      for (;;) {
        await clock.sleep(100, stop.signal);
        ticks.push(clock.boottimeMs());
      }
    })();
    await clock.advance(350);
    expect(ticks).toEqual([100, 200, 300]);
    stop.abort();
    await expect(loop).rejects.toMatchObject({ name: 'AbortError' });
    expect(clock.sleeping).toBe(0);
  });

  it('keeps wall, monotonic and boot time apart', async () => {
    const clock = new VirtualClock(1000);
    await clock.advance(5);
    clock.stepWall(-500);
    clock.suspend(20);
    expect([clock.wallMs(), clock.monotonicMs(), clock.boottimeMs()]).toEqual([525, 5, 25]);
  });
});

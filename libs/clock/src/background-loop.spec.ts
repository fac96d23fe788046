import { describe, expect, it } from '@jest/globals';
import { VirtualClock } from '#libs/testing';
import { BackgroundLoop, pause } from './background-loop.js';

describe('BackgroundLoop', () => {
  function aLoop() {
    const clock = new VirtualClock();
    const passes: number[] = [];
    const loop = new BackgroundLoop(async (signal) => {
      while (!signal.aborted) {
        passes.push(clock.monotonicMs());
        await pause(clock, 1000, signal);
      }
    });
    return { clock, passes, loop };
  }

  it('goes on until it is stopped, once however often it is started', async () => {
    const { clock, passes, loop } = aLoop();
    expect([loop.isStarted, loop.isStopping]).toEqual([false, false]);
    loop.start();
    loop.start();
    await clock.advance(2500);
    expect(passes).toHaveLength(3);
    expect([loop.isStarted, loop.isStopping]).toEqual([true, false]);
    await loop.stop();
    await clock.advance(5000);
    expect(passes).toHaveLength(3);
    expect([loop.isStarted, loop.isStopping]).toEqual([false, true]);
  });

  it('can be started again, and stopped before it was started', async () => {
    const { clock, passes, loop } = aLoop();
    await loop.stop();
    loop.start();
    expect(loop.isStopping).toBe(false);
    await clock.advance(1500);
    await loop.stop();
    loop.start();
    expect(passes).toHaveLength(3);
    await loop.stop();
  });
});

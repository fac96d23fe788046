import { describe, expect, it } from '@jest/globals';
import { VirtualClock } from '#libs/testing';
import { Wake } from './wake.js';

describe('Wake', () => {
  const never = new AbortController().signal;

  it('ends a wait, also one that begins after the call, and calls coalesce', async () => {
    const clock = new VirtualClock();
    const wake = new Wake();
    wake.call();
    wake.call();
    expect(await wake.wait(clock, 1000, never)).toBe(true);
    let woken = false;
    const waiting = wake.wait(clock, 1000, never).then(() => (woken = true));
    await clock.advance(999);
    expect(woken).toBe(false);
    wake.call();
    await waiting;
    expect(clock.sleeping).toBe(0);
  });

  it('ends with the time and with the signal', async () => {
    const clock = new VirtualClock();
    const wake = new Wake();
    const waiting = wake.wait(clock, 1000, never);
    await clock.advance(1000);
    expect(await waiting).toBe(false);
    const abort = new AbortController();
    const aborted = wake.wait(clock, 1000, abort.signal);
    abort.abort();
    await aborted;
    await wake.wait(clock, 1000, abort.signal);
  });

  it('forgets calls when told to', async () => {
    const clock = new VirtualClock();
    const wake = new Wake();
    wake.call();
    expect(wake.isCalled).toBe(true);
    wake.clear();
    const waiting = wake.wait(clock, 1000, never);
    await clock.advance(1000);
    expect(await waiting).toBe(false);
  });
});

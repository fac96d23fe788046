import { describe, expect, it } from '@jest/globals';
import { ReconcilerSignal } from './reconciler.signal.js';

describe('ReconcilerSignal', () => {
  it('wakes who waits', async () => {
    const signal = new ReconcilerSignal();
    const next = signal.next(new AbortController().signal);
    signal.wake('a bot was made');
    await next;
    expect(signal.take()).toEqual(['a bot was made']);
  });

  it('does not lose a signal that comes while nobody waits', async () => {
    const signal = new ReconcilerSignal();
    signal.wake('a');
    signal.wake('b');
    signal.wake('a');
    await signal.next(new AbortController().signal);
    expect(signal.take()).toEqual(['a', 'b']);
    expect(signal.take()).toEqual([]);
  });

  it('lets go of who waits when told to', async () => {
    const signal = new ReconcilerSignal();
    const stop = new AbortController();
    const next = signal.next(stop.signal);
    stop.abort();
    await next;
    expect(signal.take()).toEqual([]);
  });

  it('remembers a bounded number of reasons', () => {
    const signal = new ReconcilerSignal();
    for (let i = 0; i < 1000; i += 1) signal.wake(`reason ${i}`);
    expect(signal.take()).toHaveLength(20);
  });
});

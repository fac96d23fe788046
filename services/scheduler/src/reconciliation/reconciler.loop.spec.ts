import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { createLogger } from '#libs/telemetry';
import { VirtualClock, waitFor } from '#libs/testing';
import { LeadershipLost } from '../leadership/leadership.js';
import { runtimeSettings } from '../runtime.settings.js';
import { ReconcilerLoop } from './reconciler.loop.js';
import { ReconcilerSignal } from './reconciler.signal.js';
import type { Reconciler } from './reconciler.js';

const logger = createLogger({ service: 'scheduler', level: 'silent' });
const settings = runtimeSettings({ reconcileIntervalMs: 1000, reconcileQuietMs: 25 });
let clock: VirtualClock;
let signal: ReconcilerSignal;
let calls: string[];
let loop: ReconcilerLoop;

const reconciler = (name: string, reconcile: () => Promise<boolean> | boolean = () => false): Reconciler => ({
  name,
  reconcile: async () => {
    calls.push(name);
    return reconcile();
  },
});
function loopOf(...inOrder: Reconciler[]): ReconcilerLoop {
  loop = new ReconcilerLoop({ inOrder }, signal, clock, logger, settings);
  return loop;
}

beforeEach(() => {
  clock = new VirtualClock();
  signal = new ReconcilerSignal();
  calls = [];
});
afterEach(async () => {
  await loop.stop();
});

describe('a pass', () => {
  it('runs all in order, and tells whether any has more', async () => {
    expect(
      await loopOf(
        reconciler('a'),
        reconciler('b', () => true),
        reconciler('c'),
      ).pass(),
    ).toBe(true);
    expect(calls).toEqual(['a', 'b', 'c']);
    expect(await loopOf(reconciler('a')).pass()).toBe(false);
  });

  it('goes on past one that fails', async () => {
    const failing = reconciler('a', () => Promise.reject(new Error('the database is away')));
    await loopOf(failing, reconciler('b')).pass();
    expect(calls).toEqual(['a', 'b']);
  });

  it('ends at once when this process does not lead any more', async () => {
    const lost = reconciler('a', () => Promise.reject(new LeadershipLost('gone')));
    await expect(loopOf(lost, reconciler('b')).pass()).rejects.toThrow(LeadershipLost);
    expect(calls).toEqual(['a']);
  });
});

describe('the loop', () => {
  const passes = async (count: number): Promise<void> => {
    await waitFor(() => calls.length >= count, { what: `${count} passes` });
    await clock.advance(0);
    expect(calls).toHaveLength(count);
  };

  it('runs at once, then after the interval', async () => {
    loopOf(reconciler('a')).start();
    await passes(1);
    await clock.advance(1024);
    await passes(1);
    await clock.advance(1);
    await passes(2);
  });

  it('runs on a signal, but not before the quiet time, and once for many', async () => {
    loopOf(reconciler('a')).start();
    await passes(1);
    for (let i = 0; i < 5; i += 1) signal.wake('a bot was made');
    await clock.advance(24);
    await passes(1);
    await clock.advance(1);
    await passes(2);
    await clock.advance(100);
    await passes(2);
    signal.wake('another');
    await passes(3);
  });

  it('never runs two passes at once', async () => {
    let running = 0;
    let most = 0;
    let release: () => void = () => undefined;
    loopOf(
      reconciler('a', async () => {
        most = Math.max(most, (running += 1));
        await new Promise<void>((resolve) => (release = resolve));
        running -= 1;
        return false;
      }),
    ).start();
    await passes(1);
    signal.wake('meanwhile');
    await clock.advance(5000);
    await passes(1);
    release();
    await clock.advance(25);
    await passes(2);
    expect(most).toBe(1);
    const stopped = loop.stop();
    release();
    await stopped;
  });

  it('goes on without a pause while there is more', async () => {
    let left = 3;
    loopOf(reconciler('a', () => (left -= 1) > 0)).start();
    await passes(3);
  });

  it('ends when another scheduler leads', async () => {
    loopOf(reconciler('a', () => Promise.reject(new LeadershipLost('gone')))).start();
    await passes(1);
    await clock.advance(10_000);
    signal.wake('anything');
    await passes(1);
  });

  it('waits for the pass under way when it stops', async () => {
    let release: () => void = () => undefined;
    loopOf(reconciler('a', () => new Promise<boolean>((resolve) => (release = () => resolve(true))))).start();
    await passes(1);
    let stopped = false;
    const stopping = loop.stop().then(() => (stopped = true));
    await clock.advance(10_000);
    expect(stopped).toBe(false);
    release();
    await stopping;
    expect(calls).toHaveLength(1);
  });
});

import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { createLogger } from '#libs/telemetry';
import { VirtualClock } from '#libs/testing';
import { HeartbeatSignal } from '../heartbeats/heartbeat.signal.js';
import { LeaseKeeper, type LeaseHolder } from './lease-keeper.js';

class Holder implements LeaseHolder {
  readonly epoch = 3;
  readonly written: number[] = [];
  endings = 0;
  fault: Error | null = null;

  constructor(readonly allocation = 'a') {}

  async renewed(deadline_ms: number): Promise<void> {
    if (this.fault !== null) throw this.fault;
    this.written.push(deadline_ms);
  }

  ended(): void {
    this.endings += 1;
  }
}

describe('LeaseKeeper', () => {
  let clock: VirtualClock;
  let keeper: LeaseKeeper;
  let holder: Holder;
  const never = new AbortController().signal;

  beforeEach(() => {
    clock = new VirtualClock();
    keeper = new LeaseKeeper(
      clock,
      new HeartbeatSignal(),
      createLogger({ service: 'agent', level: 'silent' }),
    );
    holder = new Holder();
    keeper.start();
    keeper.hold(holder);
  });
  afterEach(async () => {
    await keeper.close();
  });

  it('ends nothing before the deadline and everything at it, once', async () => {
    await keeper.renew('a', 3, 1000);
    await clock.advance(999);
    expect(holder.endings).toBe(0);
    await clock.advance(1);
    expect(holder.endings).toBe(1);
    await clock.advance(5000);
    expect(holder.endings).toBe(1);
  });

  it('ends everything when the machine was suspended, although no deadline has come', async () => {
    const other = new Holder('b');
    keeper.hold(other);
    await keeper.renew('a', 3, 100_000);
    await keeper.renew('b', 3, 200_000);
    await clock.advance(1000);
    clock.suspend(5000);
    await clock.advance(250);
    expect([holder.endings, other.endings]).toEqual([1, 1]);
    // What comes now is for a right that has been given up.
    await keeper.renew('a', 3, 300_000);
    expect(keeper.remainingMs('a')).toBe(0);
    expect(holder.written).toEqual([100_000]);
  });

  it('ends nothing for a pause that is too short to matter', async () => {
    await keeper.renew('a', 3, 100_000);
    clock.suspend(900);
    await clock.advance(10_000);
    expect(holder.endings).toBe(0);
  });

  it('waits on for a first lease across a pause: nothing has run under it', async () => {
    clock.suspend(60_000);
    await clock.advance(1000);
    await keeper.renew('a', 3, clock.boottimeMs() + 10_000);
    expect(keeper.remainingMs('a')).toBe(10_000);
    expect(holder.endings).toBe(0);
  });

  it('goes by the last renewal and tells the container of each', async () => {
    await keeper.renew('a', 3, 1000);
    await clock.advance(800);
    await keeper.renew('a', 3, 1800);
    await clock.advance(900);
    expect(holder.endings).toBe(0);
    expect(holder.written).toEqual([1000, 1800]);
    await clock.advance(100);
    expect(holder.endings).toBe(1);
  });

  it('never shortens a lease and takes none for another epoch or a stranger', async () => {
    await keeper.renew('a', 3, 2000);
    await keeper.renew('a', 3, 1000);
    await keeper.renew('a', 2, 9000);
    await keeper.renew('a', 4, 9000);
    await keeper.renew('b', 3, 9000);
    expect(holder.written).toEqual([2000]);
    await clock.advance(2000);
    expect(holder.endings).toBe(1);
  });

  it('does not revive a lease that is over', async () => {
    await keeper.renew('a', 3, 1000);
    await clock.advance(1000);
    await keeper.renew('a', 3, 60_000);
    expect(keeper.remainingMs('a')).toBe(0);
    expect(holder.written).toEqual([1000]);
  });

  it('takes no lease that ended on the way', async () => {
    await clock.advance(5000);
    await keeper.renew('a', 3, 4000);
    expect(keeper.remainingMs('a')).toBeNull();
  });

  it('keeps the old deadline when the container cannot be told of a new one', async () => {
    await keeper.renew('a', 3, 1000);
    holder.fault = new Error('no space left on device');
    await expect(keeper.renew('a', 3, 5000)).rejects.toThrow('no space');
    await clock.advance(1000);
    expect(holder.endings).toBe(1);
  });

  it('sees after a suspension that the time is up', async () => {
    await keeper.renew('a', 3, 60_000);
    clock.suspend(3_600_000);
    await clock.advance(250);
    expect(holder.endings).toBe(1);
  });

  it('ends nothing that was released', async () => {
    await keeper.renew('a', 3, 1000);
    keeper.release('a');
    await clock.advance(5000);
    expect(holder.endings).toBe(0);
  });

  it('ends an adopted allocation at the deadline it came with', async () => {
    keeper.hold(holder, 700);
    await clock.advance(700);
    expect(holder.endings).toBe(1);
  });

  it('lets a start wait for its first lease', async () => {
    const waiting = keeper.waitForLease('a', 10_000, never);
    await clock.advance(100);
    expect(keeper.isWanted).toBe(true);
    await keeper.renew('a', 3, 5000);
    await clock.advance(0);
    await expect(waiting).resolves.toBe(true);
    expect(keeper.isWanted).toBe(false);
  });

  it('gives up waiting after the bound, at a release and at an abort', async () => {
    const late = keeper.waitForLease('a', 1000, never);
    await clock.advance(1000);
    await expect(late).resolves.toBe(false);

    const released = keeper.waitForLease('a', 1000, never);
    await clock.advance(1);
    keeper.release('a');
    await clock.advance(1);
    await expect(released).resolves.toBe(false);

    keeper.hold(holder);
    const abort = new AbortController();
    const aborted = keeper.waitForLease('a', 1000, abort.signal);
    await clock.advance(1);
    abort.abort();
    await expect(aborted).rejects.toMatchObject({ name: 'AbortError' });
  });
});

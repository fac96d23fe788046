import { describe, expect, it } from '@jest/globals';
import { VirtualClock, waitFor } from '#libs/testing';
import { type EventProducer, StorageAway } from './producers/event.producer.js';
import { Writers } from './writers.js';

/** Keeps nothing but figures; confirms all it has whenever it is looked at, unless it is told not to. */
class Producer implements EventProducer {
  written = 0;
  kept = 0;
  keptMost = 0;
  /** Writes that fail from now on, the first of them after it was written. */
  failures = 0;
  confirms = true;
  private unheard = 0;

  constructor(readonly source: string) {}

  async write(count: number): Promise<number> {
    if (this.failures > 0) {
      this.failures -= 1;
      if (this.unheard === 0) this.take((this.unheard = count));
      throw new StorageAway('away');
    }
    this.take(count);
    const heard = count + this.unheard;
    this.unheard = 0;
    return heard;
  }

  async state() {
    this.keptMost = Math.max(this.keptMost, this.kept);
    const { written, kept } = this;
    if (this.confirms) this.kept = 0;
    return { written, kept, refilled: 0 };
  }

  journal = async () => [];
  stop = async () => undefined;

  private take(count: number): void {
    this.written += count;
    this.kept += count;
  }
}

const never = new AbortController().signal;

/** Time goes on whenever somebody waits for it. */
async function finish(clock: VirtualClock, running: Promise<void>): Promise<void> {
  const state = { over: false };
  const ended = running.finally(() => (state.over = true));
  while (!state.over) await clock.advance(1000);
  await ended;
}

describe('Writers', () => {
  const clock = new VirtualClock();

  it('has each write its share', async () => {
    const producers = ['/a', '/b', '/c'].map((source) => new Producer(source));
    const writers = new Writers(producers, clock, { events: 1000, kept_max: 10_000 });
    await finish(clock, writers.run(never));
    expect(writers.written).toBe(1000);
    expect(producers.map(({ written }) => written).toSorted()).toEqual([332, 334, 334]);
  });

  it('counts what was written although no answer came', async () => {
    const producer = new Producer('/a');
    producer.failures = 3;
    const writers = new Writers([producer], clock, { events: 500, kept_max: 10_000 });
    await finish(clock, writers.run(never));
    expect(writers.written).toBe(producer.written);
    expect(writers.written).toBeGreaterThanOrEqual(500);
  });

  it('waits while a producer keeps as much as it may', async () => {
    const producer = new Producer('/a');
    producer.confirms = false;
    const stop = new AbortController();
    const running = new Writers([producer], clock, { events: 100_000, kept_max: 300 }).run(stop.signal);
    await waitFor(() => clock.sleeping === 1, { what: 'the writer to wait' });
    const { written } = producer;
    // Looked at every 200 events, in batches of 50.
    expect(written).toBeLessThanOrEqual(300 + 250);
    await clock.advance(5000);
    expect(producer.written).toBe(written);
    stop.abort();
    await expect(running).rejects.toThrow();
  });
});

import { setImmediate as turnOfTheLoop } from 'node:timers/promises';
import type { Clock } from '#libs/clock';

interface Sleeper {
  readonly wake_ms: number;
  readonly order: number;
  readonly wake: () => void;
}

/**
 * A clock that stands still until a test turns it. Sleepers wake in the order of their time, then of their call, and
 * what a woken one does next (sleeping again too) happens before the next one wakes.
 */
export class VirtualClock implements Clock {
  private elapsed_ms = 0;
  private wallOffset_ms: number;
  private suspended_ms = 0;
  private order = 0;
  private readonly sleepers = new Set<Sleeper>();

  constructor(wall_ms = Date.UTC(2026, 0, 1)) {
    this.wallOffset_ms = wall_ms;
  }

  wallMs(): number {
    return this.wallOffset_ms + this.elapsed_ms + this.suspended_ms;
  }

  monotonicMs(): number {
    return this.elapsed_ms;
  }

  boottimeMs(): number {
    return this.elapsed_ms + this.suspended_ms;
  }

  async sleep(ms: number, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    await new Promise<void>((resolve, reject) => {
      const abort = () => {
        this.sleepers.delete(sleeper);
        reject(abortError(signal));
      };
      const sleeper: Sleeper = {
        wake_ms: this.elapsed_ms + Math.max(0, ms),
        order: this.order++,
        wake: () => {
          signal?.removeEventListener('abort', abort);
          resolve();
        },
      };
      this.sleepers.add(sleeper);
      signal?.addEventListener('abort', abort, { once: true });
    });
  }

  /** How many wait at present. */
  get sleeping(): number {
    return this.sleepers.size;
  }

  /** Lets `ms` pass. Returns once everything that became due has run as far as it goes without real I/O. */
  async advance(ms: number): Promise<void> {
    const end_ms = this.elapsed_ms + ms;
    await settle();
    for (let next = this.nextDue(end_ms); next !== undefined; next = this.nextDue(end_ms)) {
      this.elapsed_ms = Math.max(this.elapsed_ms, next.wake_ms);
      this.sleepers.delete(next);
      next.wake();
      await settle();
    }
    this.elapsed_ms = end_ms;
  }

  /** Steps the wall clock, as a bad time server does; nothing wakes and the other clocks go on. */
  stepWall(ms: number): void {
    this.wallOffset_ms += ms;
  }

  /** The machine was suspended: wall and boot time moved, the monotonic clock and timers did not. */
  suspend(ms: number): void {
    this.suspended_ms += ms;
  }

  private nextDue(end_ms: number): Sleeper | undefined {
    let next: Sleeper | undefined;
    for (const sleeper of this.sleepers) {
      if (sleeper.wake_ms > end_ms) continue;
      const earlier =
        next === undefined ||
        sleeper.wake_ms < next.wake_ms ||
        (sleeper.wake_ms === next.wake_ms && sleeper.order < next.order);
      if (earlier) next = sleeper;
    }
    return next;
  }
}

/** A few turns of the event loop: chains of promises run to their end. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 3; turn += 1) await turnOfTheLoop();
}

function abortError(signal: AbortSignal | undefined): Error {
  const error = new Error('The sleep was aborted', { cause: signal?.reason });
  error.name = 'AbortError';
  return error;
}

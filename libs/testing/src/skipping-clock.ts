import { SystemClock } from '#libs/clock';
import { setImmediate as turnOfTheLoop } from 'node:timers/promises';

/**
 * The real time, which a test can move on: whoever sleeps until then wakes. So leases may be as long as they are for
 * real, and no pause of a busy machine ends one, and yet nobody waits for their ends. The wall clock is left alone: what
 * has an expiry is made by others.
 */
export class SkippingClock extends SystemClock {
  #skipped_ms = 0;
  #skipping = new AbortController();

  override monotonicMs(): number {
    return super.monotonicMs() + this.#skipped_ms;
  }

  override boottimeMs(): number {
    return super.boottimeMs() + this.#skipped_ms;
  }

  override async sleep(ms: number, signal?: AbortSignal): Promise<void> {
    const until_ms = this.monotonicMs() + ms;
    for (let left_ms = ms; ; left_ms = until_ms - this.monotonicMs()) {
      const skipping = this.#skipping.signal;
      try {
        const either = signal === undefined ? skipping : AbortSignal.any([signal, skipping]);
        await super.sleep(Math.max(0, left_ms), either);
        return;
      } catch (error) {
        if (signal?.aborted === true || !skipping.aborted) throw error;
        if (this.monotonicMs() >= until_ms) return;
      }
    }
  }

  /** Moves on, in steps that nobody takes for a pause of the machine; what was due has begun when it returns. */
  async skip(ms: number): Promise<void> {
    for (let left_ms = ms; left_ms > 0; left_ms -= step_ms_max) {
      this.#skipped_ms += Math.min(left_ms, step_ms_max);
      const woken = this.#skipping;
      this.#skipping = new AbortController();
      woken.abort();
      for (let turn = 0; turn < 3; turn += 1) await turnOfTheLoop();
    }
  }
}

/** Half of what the agent takes for a pause (`held_up_ms_max`). */
const step_ms_max = 5000;

import type { Clock } from './clock.js';

/** Lets a loop sleep until its time or until somebody has something for it; calls in between coalesce. */
export class Wake {
  #called = false;
  #interrupt: (() => void) | null = null;

  /** Whether somebody has called and no wait has ended since. */
  get isCalled(): boolean {
    return this.#called;
  }

  call(): void {
    this.#called = true;
    this.#interrupt?.();
  }

  /** Forgets the calls that nobody has waited for. */
  clear(): void {
    this.#called = false;
  }

  /**
   * Returns after `ms`, at the next call, or when the signal aborts; at once after a call that nobody saw.
   * Answers whether there was a call.
   */
  async wait(clock: Clock, ms: number, signal: AbortSignal): Promise<boolean> {
    if (!this.#called && !signal.aborted) {
      const interruption = new AbortController();
      const interrupt = () => interruption.abort();
      this.#interrupt = interrupt;
      signal.addEventListener('abort', interrupt, { once: true });
      try {
        await clock.sleep(ms, interruption.signal);
      } catch (error) {
        if (!interruption.signal.aborted) throw error;
      } finally {
        signal.removeEventListener('abort', interrupt);
        this.#interrupt = null;
      }
    }
    const called = this.#called;
    this.#called = false;
    return called;
  }
}

import type { Clock } from '#libs/clock';

/** Lets a loop sleep until its time or until somebody has something for it; calls in between coalesce. */
export class Wake {
  #called = false;
  #interrupt: (() => void) | null = null;

  call(): void {
    this.#called = true;
    this.#interrupt?.();
  }

  /** Returns after `ms`, at the next call, or when the signal aborts; at once after a call that nobody saw. */
  async wait(clock: Clock, ms: number, signal: AbortSignal): Promise<void> {
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
    this.#called = false;
  }
}

import type { Clock } from './clock.js';

/** Something that goes on in the background between `start` and `stop`; it can be started again afterwards. */
export class BackgroundLoop {
  #stopping = new AbortController();
  #running: Promise<void> | null = null;

  /** @param run until the signal aborts; must not reject */
  constructor(private readonly run: (signal: AbortSignal) => Promise<void>) {}

  /** Since `start`, until `stop` has waited for its end. */
  get isStarted(): boolean {
    return this.#running !== null;
  }

  /** Since `stop`, until the next `start`. */
  get isStopping(): boolean {
    return this.#stopping.signal.aborted;
  }

  /** A second call does nothing. */
  start(): void {
    if (this.#running !== null) return;
    this.#stopping = new AbortController();
    this.#running = this.run(this.#stopping.signal);
  }

  /** Returns when `run` has; what is under way is finished. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#running;
    this.#running = null;
  }
}

/** Returns after `ms` or when the signal aborts, whatever comes first. */
export async function pause(clock: Clock, ms: number, signal: AbortSignal): Promise<void> {
  try {
    await clock.sleep(ms, signal);
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}

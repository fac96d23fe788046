import type { Clock } from '#libs/clock';

export interface LaneLogger {
  warn(fields: object, message: string): void;
}

export interface LaneOptions {
  /** For the log: `events` or `messages`. */
  readonly name: string;
  readonly source: string;
  readonly clock: Clock;
  readonly logger: LaneLogger;
  /** How often it looks when nobody wakes it. */
  readonly idleMs: number;
}

const backoff_ms_first = 100;
const backoff_ms_max = 5000;

/**
 * Repeats one kind of pass over the outbox until it is told to stop: at once while there is more, when woken, and
 * every `idleMs`; ever more slowly while passes fail. What one lane fails at does not hold up another.
 */
export class RelayLane {
  private loop: Promise<void> | null = null;
  private stopping = new AbortController();
  private woken = false;
  private interrupt: (() => void) | null = null;
  private failed = 0;

  constructor(
    /** One batch; answers whether more waits right now. Throws when not all of it went out. */
    private readonly pass: () => Promise<boolean>,
    private readonly options: LaneOptions,
  ) {}

  get running(): boolean {
    return this.loop !== null;
  }

  /** Failed passes since the last good one. */
  get failures(): number {
    return this.failed;
  }

  /** Whether somebody has called since the pass under way began. */
  get isWanted(): boolean {
    return this.woken || this.stopping.signal.aborted;
  }

  start(): void {
    if (this.loop !== null) return;
    this.stopping = new AbortController();
    this.loop = this.run(this.stopping.signal);
  }

  /** Finishes the pass under way. */
  async stop(): Promise<void> {
    this.stopping.abort();
    this.interrupt?.();
    await this.loop;
    this.loop = null;
  }

  wake(): void {
    this.woken = true;
    this.interrupt?.();
  }

  private async run(signal: AbortSignal): Promise<void> {
    const { idleMs, logger, source, name } = this.options;
    while (!signal.aborted) {
      this.woken = false;
      try {
        const more = await this.pass();
        this.failed = 0;
        if (!more) await this.pause(idleMs, signal);
      } catch (error) {
        this.failed += 1;
        logger.warn({ err: error, source, lane: name, failures: this.failed }, 'outbox pass failed');
        await this.backOff(signal);
      }
    }
  }

  /** Waits for `ms` or the next `wake`, whatever comes first. */
  private async pause(ms: number, signal: AbortSignal): Promise<void> {
    if (this.woken || signal.aborted) return;
    const timer = new AbortController();
    const woken = new Promise<void>((resolve) => (this.interrupt = resolve));
    const slept = this.options.clock.sleep(ms, timer.signal).catch((error: unknown) => {
      if (!timer.signal.aborted) throw error;
    });
    try {
      await Promise.race([woken, slept]);
    } finally {
      this.interrupt = null;
      timer.abort();
    }
  }

  /** Not cut short by `wake`: what fails now fails again at once. */
  private async backOff(signal: AbortSignal): Promise<void> {
    const ceiling_ms = Math.min(backoff_ms_first * 2 ** Math.min(this.failed - 1, 10), backoff_ms_max);
    const pause_ms = ceiling_ms * (0.5 + Math.random() / 2);
    await this.options.clock.sleep(pause_ms, signal).catch((error: unknown) => {
      if (!signal.aborted) throw error;
    });
  }
}

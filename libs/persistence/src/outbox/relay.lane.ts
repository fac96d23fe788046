import { BackgroundLoop, Wake, type Clock } from '#libs/clock';

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
  /** Whether something waits that may not wait for the end of a back-off. Costs little: asked every 250 ms then. */
  readonly isUrgent?: () => Promise<boolean>;
}

const backoff_ms_first = 100;
const backoff_ms_max = 5000;
/** A stop has one second from the switch to the bot; for its sake a broken broker is tried as often as this. */
const look_ms_urgent = 250;

/**
 * Repeats one kind of pass over the outbox until it is told to stop: at once while there is more, when woken, and
 * every `idleMs`; ever more slowly while passes fail, unless what they failed at is mended or something urgent waits.
 * What one lane fails at does not hold up another.
 */
export class RelayLane {
  private readonly loop = new BackgroundLoop(async (signal) => await this.run(signal));
  private readonly wanted = new Wake();
  private readonly mended = new Wake();
  private failed = 0;
  /** Failed passes since the last good one or the last `retry`: how slow it has become. */
  private slowness = 0;

  constructor(
    /** One batch; answers whether more waits right now. Throws when not all of it went out. */
    private readonly pass: () => Promise<boolean>,
    private readonly options: LaneOptions,
  ) {}

  get running(): boolean {
    return this.loop.isStarted;
  }

  /** Failed passes since the last good one. */
  get failures(): number {
    return this.failed;
  }

  /** Whether somebody has called since the pass under way began. */
  get isWanted(): boolean {
    return this.wanted.isCalled || this.loop.isStopping;
  }

  start(): void {
    this.loop.start();
  }

  /** Finishes the pass under way. */
  async stop(): Promise<void> {
    await this.loop.stop();
  }

  /** There is something to do. Does not cut a back-off short: what fails now fails again at once. */
  wake(): void {
    this.wanted.call();
  }

  /** What passes failed at may be mended: ends a back-off, and the next ones are short again. */
  retry(): void {
    this.slowness = 0;
    this.mended.call();
  }

  private async run(signal: AbortSignal): Promise<void> {
    const { clock, idleMs, logger, source, name } = this.options;
    while (!signal.aborted) {
      this.wanted.clear();
      this.mended.clear();
      try {
        const more = await this.pass();
        this.failed = 0;
        this.slowness = 0;
        if (!more) await this.wanted.wait(clock, idleMs, signal);
      } catch (error) {
        this.failed += 1;
        this.slowness += 1;
        logger.warn({ err: error, source, lane: name, failures: this.failed }, 'outbox pass failed');
        await this.backOff(signal);
      }
    }
  }

  private async backOff(signal: AbortSignal): Promise<void> {
    const { clock, isUrgent } = this.options;
    const ceiling_ms = Math.min(backoff_ms_first * 2 ** Math.min(this.slowness - 1, 10), backoff_ms_max);
    const end_ms = clock.monotonicMs() + ceiling_ms * (0.5 + Math.random() / 2);
    const step_ms = isUrgent === undefined ? backoff_ms_max : look_ms_urgent;
    for (;;) {
      const left_ms = end_ms - clock.monotonicMs();
      if (left_ms <= 0) return;
      if (await this.mended.wait(clock, Math.min(left_ms, step_ms), signal)) return;
      if (signal.aborted || (left_ms > step_ms && (await this.hasUrgent()))) return;
    }
  }

  private async hasUrgent(): Promise<boolean> {
    try {
      return (await this.options.isUrgent?.()) === true;
    } catch (error) {
      const { logger, source, name } = this.options;
      logger.warn({ err: error, source, lane: name }, 'outbox cannot be asked for what is urgent');
      return false;
    }
  }
}

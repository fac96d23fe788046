import type { Clock } from '#libs/clock';

/** What takes longer than `ms` no longer counts: its permit goes to the next, while it goes on for its own caller. */
export interface Overtime {
  readonly clock: Clock;
  readonly ms: number;
}

/** Lets at most `permits` pieces of work run at once; the others wait in the order they came. */
export class Semaphore {
  private free: number;
  private readonly waiting: (() => void)[] = [];

  /** @param waiting_max work beyond so many in the queue is refused with `onFull` */
  constructor(
    permits: number,
    private readonly waiting_max: number,
    private readonly onFull: () => Error,
    private readonly overtime: Overtime | null = null,
  ) {
    if (!Number.isInteger(permits) || permits < 1) throw new RangeError('a semaphore needs a permit');
    this.free = permits;
  }

  async run<T>(work: () => Promise<T>): Promise<T> {
    await this.acquire();
    const done = new AbortController();
    let held = true;
    const giveBack = (): void => {
      if (held) this.release();
      held = false;
    };
    // Aborted when it was done before.
    this.overtime?.clock.sleep(this.overtime.ms, done.signal).then(giveBack, () => undefined);
    try {
      return await work();
    } finally {
      done.abort();
      giveBack();
    }
  }

  private async acquire(): Promise<void> {
    if (this.free > 0) {
      this.free -= 1;
      return;
    }
    if (this.waiting.length >= this.waiting_max) throw this.onFull();
    await new Promise<void>((resolve) => this.waiting.push(resolve));
  }

  private release(): void {
    const next = this.waiting.shift();
    // The permit goes from hand to hand, so that nobody can overtake the one who waits.
    if (next === undefined) this.free += 1;
    else next();
  }
}

import type { Clock } from '#libs/clock';

/** Messages that wait at a time. Each counts as unsettled, of which a consumer has a bounded number. */
const waiting_max = 512;
/** How often one is looked at again before it is given up. */
const looks_max = 20;

/**
 * Messages whose sender is not known yet: its registration may be behind them in the stream. They are handed out again
 * a few times. When many wait, or one waits too long, it is not waited any longer: its producer will send it again.
 */
export class WaitingRoom {
  /** Stream sequence to the end of its stay, should it not come back. */
  private readonly waiting = new Map<number, number>();

  /** @param wait_ms longest stay of one message */
  constructor(
    private readonly clock: Clock,
    private readonly wait_ms: number,
  ) {}

  /** For how long the message is to wait, or null when it is not to wait any longer. */
  enter(seq: number, deliveries: number): number | null {
    const now_ms = this.clock.monotonicMs();
    this.leave(seq);
    // Another process may have got what waited here.
    for (const [other, until_ms] of this.waiting) {
      if (until_ms > now_ms) break;
      this.waiting.delete(other);
    }
    if (deliveries >= looks_max || this.waiting.size >= waiting_max) return null;
    this.waiting.set(seq, now_ms + 2 * this.wait_ms);
    return this.wait_ms / looks_max;
  }

  leave(seq: number): void {
    this.waiting.delete(seq);
  }
}

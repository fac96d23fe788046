import type { Clock } from '#libs/clock';

/** Messages that wait at a time. Each counts as unsettled, of which a consumer has a bounded number. */
const waiting_max = 512;
/** How often one is looked at again while it waits. */
const looks = 20;

/**
 * Messages whose sender is not known yet: its registration may be behind them in the stream. They are handed out again
 * until they have waited long enough; how often that was does not count, because a database that fails hands out
 * messages again, too. When too many wait, no more are let in: their producers will send them again.
 */
export class WaitingRoom {
  /** Stream sequence to when it came, monotonic; the first to come first. */
  private readonly since = new Map<number, number>();

  /** @param wait_ms longest stay of one message */
  constructor(
    private readonly clock: Clock,
    private readonly wait_ms: number,
  ) {}

  /** After how long the message is to be looked at again, or null when it is not to wait any longer. */
  enter(seq: number): number | null {
    const now_ms = this.clock.monotonicMs();
    this.forgetOthers(now_ms);
    const since_ms = this.since.get(seq);
    if (since_ms === undefined ? this.since.size >= waiting_max : now_ms - since_ms >= this.wait_ms) {
      this.leave(seq);
      return null;
    }
    this.since.set(seq, since_ms ?? now_ms);
    return this.wait_ms / looks;
  }

  leave(seq: number): void {
    this.since.delete(seq);
  }

  /** Nothing could be recorded for a while, registrations neither: whoever waits begins anew. */
  beginAnew(): void {
    this.since.clear();
  }

  /** Another process may have got what waited here. */
  private forgetOthers(now_ms: number): void {
    for (const [seq, since_ms] of this.since) {
      if (now_ms - since_ms < 2 * this.wait_ms) return;
      this.since.delete(seq);
    }
  }
}

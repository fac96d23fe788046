import type { Clock } from './clock.js';

/** Lets so many things pass in a second: holds one second's worth and fills at the rate. */
export class TokenBucket {
  private tokens: number;
  private filled_at_ms: number;

  constructor(
    private readonly clock: Clock,
    private readonly perSecond: number,
  ) {
    this.tokens = perSecond;
    this.filled_at_ms = clock.monotonicMs();
  }

  /** Whether one more may pass now; if so, it counts. */
  take(): boolean {
    const now_ms = this.clock.monotonicMs();
    this.tokens = Math.min(
      this.perSecond,
      this.tokens + ((now_ms - this.filled_at_ms) / 1000) * this.perSecond,
    );
    this.filled_at_ms = now_ms;
    if (this.tokens < 1) return false;
    this.tokens -= 1;
    return true;
  }
}

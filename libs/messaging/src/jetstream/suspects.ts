interface Suspect {
  failures: number;
  last_ms: number;
}

/** Failures of one message, alone, while others went through, before it is the message that is at fault. */
const failures_max = 5;
const suspects_max = 10_000;

/**
 * Tells a message that cannot be handled from a handler that cannot work at the moment (its database is away): only
 * failures between which another message went through count.
 */
export class Suspects {
  private readonly suspects = new Map<number, Suspect>();
  private lastSuccess_ms = -Infinity;

  success(messages: readonly { readonly seq: number }[], now_ms: number): void {
    this.lastSuccess_ms = now_ms;
    if (this.suspects.size > 0) for (const { seq } of messages) this.suspects.delete(seq);
  }

  /** Whether the message, which failed alone, is to be given up. */
  failedAlone(seq: number, now_ms: number): boolean {
    const suspect = this.suspects.get(seq) ?? { failures: 0, last_ms: -Infinity };
    if (this.lastSuccess_ms > suspect.last_ms) suspect.failures++;
    suspect.last_ms = now_ms;
    // Re-inserted, so that the first of the map is the one not seen for longest.
    this.suspects.delete(seq);
    this.suspects.set(seq, suspect);
    const oldest = this.suspects.keys().next().value;
    if (this.suspects.size > suspects_max && oldest !== undefined) this.suspects.delete(oldest);
    return suspect.failures >= failures_max;
  }
}

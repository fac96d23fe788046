import type { Clock } from './clock.js';
import { TokenBucket } from './token-bucket.js';

/** What was refused and has no event of its own. */
export interface SuppressedRefusals {
  readonly count: number;
  /** Of them, by code. */
  readonly codes: Readonly<Record<string, number>>;
  /** How many different ones had asked. */
  readonly askers: number;
  /** Instants, RFC 3339 in UTC. */
  readonly from: string;
  readonly to: string;
}

const askers_max = 1000;

/**
 * Decides which refusals are recorded one by one, and counts the others: whoever asks for what it does not get must not be
 * able to fill the log with that. Reads have a quarter of the room and none of that of changes.
 */
export class RefusalTally {
  private readonly changes: TokenBucket;
  private readonly reads: TokenBucket;
  private readonly askers = new Set<string>();
  private codes = new Map<string, number>();
  private count = 0;
  private from_ms = 0;
  private to_ms = 0;

  /** @param perSecond changes refused in a second that are recorded one by one */
  constructor(
    private readonly clock: Clock,
    perSecond: number,
  ) {
    this.changes = new TokenBucket(clock, perSecond);
    this.reads = new TokenBucket(clock, Math.max(1, perSecond / 4));
  }

  /** Refusals counted since `take`. */
  get suppressed(): number {
    return this.count;
  }

  /** Whether this one is recorded; if not, it is counted. */
  admit(kind: 'change' | 'read', code: string, asker: string): boolean {
    if ((kind === 'change' ? this.changes : this.reads).take()) return true;
    this.suppress(code, asker);
    return false;
  }

  /** Counts one that is not recorded, whatever the rate. */
  suppress(code: string, asker: string): void {
    const now_ms = this.clock.wallMs();
    if (this.count === 0) this.from_ms = now_ms;
    this.to_ms = Math.max(this.from_ms, now_ms);
    this.count += 1;
    this.codes.set(code, (this.codes.get(code) ?? 0) + 1);
    if (this.askers.size < askers_max) this.askers.add(asker);
  }

  /** What was counted, which is forgotten by that; null when that is nothing. */
  take(): SuppressedRefusals | null {
    if (this.count === 0) return null;
    const taken = {
      count: this.count,
      codes: Object.fromEntries(this.codes),
      askers: this.askers.size,
      from: new Date(this.from_ms).toISOString(),
      to: new Date(this.to_ms).toISOString(),
    };
    this.count = 0;
    this.codes = new Map();
    this.askers.clear();
    return taken;
  }

  /** Counts again what was taken and could not be recorded. Who had asked is not known any more. */
  giveBack({ count, codes, from, to }: SuppressedRefusals): void {
    this.from_ms = Date.parse(from);
    this.to_ms = this.count === 0 ? Date.parse(to) : this.to_ms;
    this.count += count;
    for (const [code, times] of Object.entries(codes))
      this.codes.set(code, (this.codes.get(code) ?? 0) + times);
  }
}

import { CLOCK, type Clock } from '#libs/clock';
import type { ConsumerPlace } from '#libs/messaging';
import { Inject, Injectable } from '@nestjs/common';
import { AUDIT_CONFIG, type AuditConfig } from '../audit.config.js';
import { without, type Ranges } from './ranges.js';

/** Incarnations remembered at a time; the one that asked longest ago goes first. */
const incarnations_max = 16_384;
const wait_ms_max = 10 * 60_000;

/** An incarnation that has published more than is recorded. */
interface Behind {
  readonly upTo: number;
  /** Since when `upTo` has stood still. */
  since_ms: number;
  /** How often in a row a refill was asked for in vain. */
  asks: number;
  asked: Ranges;
  /** What was published when the stream was at this place: it is to be settled before anything counts as missing. */
  note: { readonly last: number; readonly place: ConsumerPlace | null } | null;
}

/** What a producer says and what is recorded of it. */
export interface Progress {
  readonly upTo: number;
  /** The highest number it has published. */
  readonly last: number;
  readonly received: Ranges;
}

/**
 * Tells when what is not recorded has not merely not come yet. A producer published up to `last`; when the audit service
 * has settled all that the stream held at that time, or the stream is another one since, what is not recorded was lost:
 *
 *   published more than is recorded -> for a while it stays so -> note where the stream ends -> all up to there is settled
 *   -> the rest is missing -> asked for -> [came: ask for the next] [came not: again after twice the time]
 */
@Injectable()
export class RefillPlanner {
  private readonly behind = new Map<string, Behind>();

  constructor(
    @Inject(CLOCK) private readonly clock: Clock,
    @Inject(AUDIT_CONFIG) private readonly config: Pick<AuditConfig, 'refillAfterMs'>,
  ) {}

  /**
   * Up to which number all that is not recorded is missing; null when that cannot be said yet.
   * @param place where the stream is now
   */
  async missingUpTo(
    key: string,
    { upTo, last, received }: Progress,
    place: () => Promise<ConsumerPlace | null>,
  ): Promise<number | null> {
    if (upTo >= last) {
      this.behind.delete(key);
      return null;
    }
    const behind = this.track(key, upTo);
    // What was asked for has come: the next part, of what was found to be missing already.
    if (behind.asked.length > 0 && without(behind.asked, received).length === 0) return 0;
    const wait_ms = Math.min(this.config.refillAfterMs * 2 ** behind.asks, wait_ms_max);
    if (this.clock.monotonicMs() - behind.since_ms < wait_ms) return null;
    const now = await place();
    behind.note ??= { last, place: now };
    return isSettled(behind.note.place, now) ? behind.note.last : null;
  }

  /** These were asked for. */
  asked(key: string, ranges: Ranges): void {
    const behind = this.behind.get(key);
    if (behind === undefined) return;
    const isNext = behind.asked.length > 0 && without(behind.asked, ranges).length > 0;
    Object.assign(behind, {
      asked: ranges,
      asks: isNext || ranges.length === 0 ? 0 : behind.asks + 1,
      note: null,
      since_ms: this.clock.monotonicMs(),
    });
  }

  private track(key: string, upTo: number): Behind {
    const before = this.behind.get(key);
    const behind =
      before?.upTo === upTo
        ? before
        : { upTo, since_ms: this.clock.monotonicMs(), asks: 0, asked: before?.asked ?? [], note: null };
    this.behind.delete(key);
    this.behind.set(key, behind);
    const oldest = this.behind.keys().next().value;
    if (this.behind.size > incarnations_max && oldest !== undefined) this.behind.delete(oldest);
    return behind;
  }
}

/** Whether all that the stream held then has been settled, or is gone with it. */
function isSettled(then: ConsumerPlace | null, now: ConsumerPlace | null): boolean {
  if (then === null || now === null || then.created !== now.created) return true;
  return now.isIdle || (now.settled !== null && now.settled >= then.last);
}

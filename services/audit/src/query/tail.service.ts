import { CLOCK, type Clock } from '#libs/clock';
import type { EventFilter, EventTail, EventTailPage, FleetEvent } from '#libs/contracts';
import { Inject, Injectable } from '@nestjs/common';
import { refusal } from '../errors.js';
import { fitting, toFleetEvent } from './fleet.events.js';
import { LogGrowth } from './log.growth.js';
import { People } from './people.js';
import { QueryRepository } from './query.repository.js';

/** Positions looked through by one statement: what a filter leaves over may be little or nothing. */
const span_max = 20_000;
/** The longest a request that does not wait goes on looking through the log for something that fits. */
const look_ms_max = 1000;

/**
 * Follows the log by position. Positions have no gaps and grow with every commit, so nothing can come in behind the
 * place of whoever follows, however late its producer sent it.
 */
@Injectable()
export class TailService {
  constructor(
    private readonly repository: QueryRepository,
    private readonly growth: LogGrowth,
    private readonly people: People,
    @Inject(CLOCK) private readonly clock: Clock,
  ) {}

  /**
   * Answers at the first events that fit, or when the time is up; without events `next` may still have moved. Throws
   * `invalid_request` for a position that the log has not come to: it may have been restored from a backup.
   */
  async tail({ position, limit, timeoutMs, ...asked }: EventTail): Promise<EventTailPage> {
    const waitUntil_ms = this.clock.monotonicMs() + timeoutMs;
    const lookUntil_ms = waitUntil_ms + Math.max(0, look_ms_max - timeoutMs);
    let size = await this.repository.size();
    let next = position ?? size;
    if (next > size) throw refusal.beyondLog(size);
    for (;;) {
      const page = next < size ? await this.page(asked, next, size, limit) : { events: [], next };
      ({ next } = page);
      if (page.events.length > 0) return { ...page, size };
      const now_ms = this.clock.monotonicMs();
      const isOver = now_ms >= (next < size ? lookUntil_ms : waitUntil_ms);
      if (isOver || this.growth.isEnded) return { events: [], next, size };
      if (next < size) continue;
      await this.growth.beyond(size, waitUntil_ms - now_ms);
      size = await this.repository.size();
    }
  }

  /** Of one span of positions. */
  private async page(
    asked: EventFilter,
    from: number,
    size: number,
    limit: number,
  ): Promise<{ events: FleetEvent[]; next: number }> {
    const to = Math.min(size, from + span_max);
    // Asked anew each time: a person may be heard of for the first time meanwhile.
    const filter = await this.people.stored(asked);
    const rows = filter === null ? [] : await this.repository.range(filter, from, to, limit);
    const events = fitting((await this.people.open(rows)).map(toFleetEvent));
    const last = events.at(-1)?.position;
    const isWhole = rows.length < limit && events.length === rows.length;
    return { events, next: isWhole || last === undefined ? to : last + 1 };
  }
}

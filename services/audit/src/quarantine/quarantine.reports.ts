import { CLOCK, type Clock } from '#libs/clock';
import type { QuarantineCode } from '#libs/contracts';
import type { NewEvent } from '#libs/persistence';
import { lazyCounter, LOGGER, type Logger } from '#libs/telemetry';
import { Inject, Injectable } from '@nestjs/common';
import type { QuarantinedMessage } from '../ingestion/recorded-event.js';

/** Events a minute: whoever sends rubbish must not fill the log. What comes beyond is counted. */
export const events_a_minute_max = 60;
const minute_ms = 60_000;
const actor = 'service:audit';

const putAside = lazyCounter('tradefleet.audit.quarantined', 'Messages put aside, by code');

/** What is told of messages put aside: made before they are committed, counted afterwards. */
export interface QuarantineReport {
  readonly messages: readonly QuarantinedMessage[];
  /** To be committed with the messages. */
  readonly events: readonly NewEvent[];
}

type Codes = Partial<Record<QuarantineCode, number>>;

/** Tells of messages that are put aside: each by an event, up to a bound, then by their number. */
@Injectable()
export class QuarantineReports {
  private minute = -1;
  private told = 0;
  private untold: Codes = {};

  constructor(
    @Inject(CLOCK) private readonly clock: Clock,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  /** @param messages that were not put aside before */
  report(messages: readonly QuarantinedMessage[]): QuarantineReport {
    const room = this.thisMinute() === this.minute ? events_a_minute_max - this.told : events_a_minute_max;
    const worthy = messages.filter(isWorthAnEvent).slice(0, Math.max(0, room));
    return { messages, events: worthy.map(toEvent) };
  }

  /** The messages of the report are committed. */
  count({ messages, events }: QuarantineReport): void {
    const minute = this.thisMinute();
    if (minute !== this.minute) Object.assign(this, { minute, told: 0 });
    this.told += events.length;
    for (const { message, code, reason } of messages) {
      putAside.add(1, { code });
      const { subject, streamSeq } = message;
      this.logger.warn({ subject, streamSeq, code, reason }, 'message quarantined');
    }
    for (const { code } of messages.filter(isWorthAnEvent).slice(events.length))
      this.untold[code] = (this.untold[code] ?? 0) + 1;
  }

  /** An event for those that had none, once their minute is over; null while there are none. */
  flood(): NewEvent | null {
    const count = Object.values(this.untold).reduce((sum, number) => sum + number, 0);
    if (count === 0 || this.thisMinute() === this.minute) return null;
    return {
      type: 'tradefleet.audit.quarantine-flooded',
      id: 'quarantine',
      actor,
      data: { count, codes: this.untold },
    };
  }

  /** The event of `flood` is committed. */
  forget(): void {
    this.untold = {};
  }

  private thisMinute(): number {
    return Math.floor(this.clock.monotonicMs() / minute_ms);
  }
}

/** An own event that the database refuses would be told of by another one, which it refuses as well. */
const isWorthAnEvent = ({ place }: QuarantinedMessage): boolean => place?.source !== '/audit';

const toEvent = ({ message, digest, code, reason, source }: QuarantinedMessage): NewEvent => ({
  type: 'tradefleet.audit.quarantined',
  id: digest.toString('hex'),
  actor,
  data: {
    ...{ digest: digest.toString('hex'), subject: message.subject.slice(0, 300), code, reason },
    source: source?.slice(0, 60) ?? null,
  },
});

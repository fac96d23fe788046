import { Inject, Injectable } from '@nestjs/common';
import { CLOCK, type Clock } from '#libs/clock';
import type { ErrorCode } from '#libs/contracts';
import { Outbox, type NewEvent } from '#libs/persistence';
import { LOGGER, type Logger } from '#libs/telemetry';
import { LeaderTransaction } from '../leadership/leader-transaction.repository.js';

/** A message that claimed to be of a host and was not obeyed. */
export interface Rejection {
  readonly host: string;
  readonly allocation: string | null;
  /** What it was: `heartbeat`, `register`, an event's name. */
  readonly verb: string;
  readonly code: ErrorCode;
  readonly detail: string;
}

/** A sender that floods gets one record per host, kind and code in this time; the rest is counted by the log. */
const quiet_ms = 60_000;
const remembered_max = 10_000;

/** Has what does not verify audited: `tradefleet.message.rejected`, `tradefleet.host.join-refused`. Bounded, because anyone can send rubbish. */
@Injectable()
export class RejectionLog {
  private readonly recorded = new Map<string, number>();

  constructor(
    private readonly transaction: LeaderTransaction,
    private readonly outbox: Outbox,
    @Inject(CLOCK) private readonly clock: Clock,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  /** Never throws: the message is refused whether or not that could be recorded. */
  async record(rejections: readonly Rejection[]): Promise<void> {
    const fresh = rejections.filter((rejection) => this.isFresh(rejection));
    if (fresh.length === 0) return;
    for (const rejection of fresh) this.logger.warn({ ...rejection }, 'a message of a host was rejected');
    const events = fresh.map(eventOf);
    try {
      await this.transaction.run(async (tx) => this.outbox.events(tx, events));
    } catch (error) {
      this.logger.error({ err: error }, 'rejected messages could not be recorded');
    }
  }

  private isFresh({ host, verb, code }: Rejection): boolean {
    const key = `${host} ${verb} ${code}`;
    const now_ms = this.clock.monotonicMs();
    const last_ms = this.recorded.get(key);
    if (last_ms !== undefined && now_ms - last_ms < quiet_ms) return false;
    this.recorded.delete(key);
    if (this.recorded.size >= remembered_max) this.recorded.delete(this.recorded.keys().next().value ?? '');
    this.recorded.set(key, now_ms);
    return true;
  }
}

function eventOf(rejection: Rejection): NewEvent {
  const { host, code, detail } = rejection;
  const of = { id: host, actor: 'service:scheduler' };
  return code === 'join_token_invalid'
    ? { ...of, type: 'tradefleet.host.join-refused', data: { host, code, detail } }
    : { ...of, type: 'tradefleet.message.rejected', data: { ...rejection, command: null } };
}

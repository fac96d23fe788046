import { Inject, Injectable } from '@nestjs/common';
import { CLOCK, type Clock, TokenBucket } from '#libs/clock';
import { Actor, type GrantRequest, newId, type ProblemError } from '#libs/contracts';
import { type NewEvent, Outbox, OutboxRelay, TransactionRunner } from '#libs/persistence';
import { LOGGER, type Logger } from '#libs/telemetry';
import { SECRETS_CONFIG, type SecretsConfig } from '../secrets.config.js';

/** Who asked, as far as that can be told. */
export interface Asker {
  readonly actor: string;
  readonly traceparent?: string | undefined;
}

/** Of what people ask here, what changes something. */
const writes: readonly string[] = ['credentials.set'];
/** Not a decision about who asked, but a part of the platform that did not answer. */
const faults: readonly string[] = ['unavailable', 'timeout', 'internal'];
const detail_length_max = 1000;

/**
 * Puts refusals into the audit log. Whoever asks for what it does not get must not be able to fill the database with
 * that: beyond a rate refusals are counted, and the count is logged.
 */
@Injectable()
export class RefusalsRecorder {
  private readonly admitted: TokenBucket;
  private suppressed = 0;

  constructor(
    private readonly transactions: TransactionRunner,
    private readonly outbox: Outbox,
    private readonly relay: OutboxRelay,
    @Inject(CLOCK) private readonly clock: Clock,
    @Inject(LOGGER) private readonly logger: Logger,
    @Inject(SECRETS_CONFIG) config: Pick<SecretsConfig, 'refusalEventsPerSecond'>,
  ) {
    this.admitted = new TokenBucket(clock, config.refusalEventsPerSecond);
  }

  /** A grant that was not given. `asker` is the host of the subject, which may be another than the request names. */
  async grant(request: GrantRequest, problem: ProblemError, { actor, traceparent }: Asker): Promise<void> {
    if (faults.includes(problem.code)) return;
    const { allocation, account, host, epoch } = request;
    await this.record({
      type: 'tradefleet.grant.refused',
      id: allocation,
      data: { grant: null, allocation, account, host, epoch, code: problem.code, expiresAt: null },
      actor: actorOr(actor),
      traceparent,
    });
  }

  /** A refused request of a person or program. */
  async request(operation: string, problem: ProblemError, { actor, traceparent }: Asker): Promise<void> {
    if (!writes.includes(operation)) return;
    await this.record({
      type: 'tradefleet.request.refused',
      id: newId(this.clock.wallMs()),
      data: { operation, code: problem.code, detail: problem.detail.slice(0, detail_length_max) },
      actor: actorOr(actor),
      traceparent,
    });
  }

  /** A failure to record is logged: it must not turn a refusal into another answer. */
  private async record(event: NewEvent): Promise<void> {
    if (!this.admitted.take()) {
      this.suppressed += 1;
      return;
    }
    if (this.suppressed > 0) {
      this.logger.warn({ suppressed: this.suppressed }, 'refusals were not recorded: there were too many');
      this.suppressed = 0;
    }
    try {
      await this.transactions.run(async (transaction) => await this.outbox.event(transaction, event));
      this.relay.wake();
    } catch (error) {
      this.logger.error({ err: error, type: event.type }, 'a refusal was not recorded');
    }
  }
}

/** A request may be refused for the very name its sender gave. */
const actorOr = (claimed: string): string => Actor.safeParse(claimed).data ?? 'nats:anonymous';

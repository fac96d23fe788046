import { CLOCK, type Clock, TokenBucket } from '#libs/clock';
import { Actor, api, newId, type ApiName, type ProblemError } from '#libs/contracts';
import { Outbox, OutboxRelay, TransactionRunner } from '#libs/persistence';
import { LOGGER, type Logger } from '#libs/telemetry';
import { Inject, Injectable } from '@nestjs/common';
import { SCHEDULER_CONFIG, type SchedulerConfig } from '../scheduler.config.js';
import type { Asker } from './asker.js';

const detail_length_max = 1000;

/** Whether an operation changes something: its request takes an idempotency key. */
const isWrite = (name: string): name is ApiName =>
  Object.hasOwn(api, name) && 'idempotencyKey' in api[name as ApiName].request.shape;

/**
 * Puts refused writes into the audit log. Whoever sends bad requests must not be able to fill the database with them:
 * beyond a rate they are counted and the count is logged.
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
    @Inject(SCHEDULER_CONFIG) config: Pick<SchedulerConfig, 'refusalEventsPerSecond'>,
  ) {
    this.admitted = new TokenBucket(clock, config.refusalEventsPerSecond);
  }

  /** How many were not recorded since the last one that was. */
  get suppressedCount(): number {
    return this.suppressed;
  }

  /** Records a refused write, or counts it. A failure to record it is logged: the answer was given already. */
  async record(operation: string, problem: ProblemError, { actor, traceparent }: Asker): Promise<void> {
    if (!isWrite(operation)) return;
    if (!this.admitted.take()) {
      this.suppressed += 1;
      return;
    }
    if (this.suppressed > 0) {
      this.logger.warn(
        { suppressed: this.suppressed },
        'refused requests were not recorded: there were too many',
      );
      this.suppressed = 0;
    }
    const detail = problem.detail.slice(0, detail_length_max);
    const data = { operation, code: problem.code, detail };
    // A request may be refused for the very name its sender gave.
    const by = Actor.safeParse(actor).data ?? 'nats:anonymous';
    try {
      await this.transactions.run(async (tx) => {
        await this.outbox.event(tx, {
          type: 'tradefleet.request.refused',
          id: newId(this.clock.wallMs()),
          data,
          actor: by,
          traceparent,
        });
      });
      this.relay.wake();
    } catch (error) {
      this.logger.error({ err: error, operation, code: problem.code }, 'a refused request was not recorded');
    }
  }
}

import { CLOCK, type Clock } from '#libs/clock';
import { limits } from '#libs/contracts';
import { LOGGER, type Logger } from '#libs/telemetry';
import {
  Inject,
  Injectable,
  type BeforeApplicationShutdown,
  type OnApplicationBootstrap,
} from '@nestjs/common';
import { IdempotencyRepository } from './idempotency.repository.js';

const interval_ms = 60_000;
const batch_rows_max = 1000;
/** Batches of one pass; what is left waits for the next. */
const batches_max = 20;

/** Forgets keys that are older than promised, in small batches, so that no lock is held long. */
@Injectable()
export class IdempotencyPruner implements OnApplicationBootstrap, BeforeApplicationShutdown {
  private readonly stopping = new AbortController();
  private pruning: Promise<void> | null = null;

  constructor(
    private readonly keys: IdempotencyRepository,
    @Inject(CLOCK) private readonly clock: Clock,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  onApplicationBootstrap(): void {
    this.pruning ??= this.run();
  }

  async beforeApplicationShutdown(): Promise<void> {
    this.stopping.abort();
    await this.pruning;
  }

  /** One pass; gives how many keys it forgot. */
  async prune(): Promise<number> {
    let forgotten = 0;
    for (let batch = 0; batch < batches_max; batch += 1) {
      const rows = await this.keys.forget(limits.idempotency_hours, batch_rows_max);
      forgotten += rows;
      if (rows < batch_rows_max) break;
    }
    return forgotten;
  }

  private async run(): Promise<void> {
    const { signal } = this.stopping;
    const isStopping = () => signal.aborted;
    while (!isStopping()) {
      try {
        await this.clock.sleep(interval_ms, signal);
        await this.prune();
      } catch (error) {
        if (!isStopping()) this.logger.warn({ err: error }, 'old idempotency keys were not forgotten');
      }
    }
  }
}

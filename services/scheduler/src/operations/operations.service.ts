import { Id, type ApiParsed, type ApiResponse, type Operation } from '#libs/contracts';
import { CLOCK, type Clock } from '#libs/clock';
import { LOGGER, type Logger } from '#libs/telemetry';
import {
  Inject,
  Injectable,
  type BeforeApplicationShutdown,
  type OnApplicationBootstrap,
} from '@nestjs/common';
import { refusal } from '../errors.js';
import { OperationRepository, type OperationWithTargets } from './operation.repository.js';
import { OperationWaiters } from './operation.waiters.js';

/** Targets shown of one operation, and of each in a list. */
const targets_max = 1000;
const targets_listed_max = 10;
/**
 * How often it is looked whether an operation that somebody waits for has ended. One that ends in this process wakes
 * its waiters at once; this is for those that end in another scheduler.
 */
const look_interval_ms = 500;

@Injectable()
export class OperationsService implements OnApplicationBootstrap, BeforeApplicationShutdown {
  private readonly stopping = new AbortController();
  private looking: Promise<void> | null = null;

  constructor(
    private readonly operations: OperationRepository,
    private readonly waiters: OperationWaiters,
    @Inject(CLOCK) private readonly clock: Clock,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  onApplicationBootstrap(): void {
    this.looking ??= this.lookOut();
  }

  /** Answers all who wait with the operation as it is, now and from now on, so that the server can finish. */
  release(): void {
    this.stopping.abort();
    this.waiters.wakeAll();
  }

  async beforeApplicationShutdown(): Promise<void> {
    this.release();
    await this.looking;
  }

  async get({ id }: ApiParsed<'operations.get'>): Promise<Operation> {
    const row = await this.operations.find(id, targets_max);
    if (row === null) throw refusal.operationNotFound(id);
    return toOperation(row);
  }

  async list({ state, limit, after }: ApiParsed<'operations.list'>): Promise<ApiResponse<'operations.list'>> {
    if (after !== undefined && !Id.safeParse(after).success) {
      throw refusal.invalid([{ path: 'after', message: "must be the 'next' of the page before" }]);
    }
    const rows = await this.operations.page({
      state: state ?? null,
      after: after ?? null,
      rows_max: limit + 1,
      targets_max: targets_listed_max,
    });
    const operations = rows.slice(0, limit).map(toOperation);
    return { operations, next: rows.length > limit ? (operations.at(-1)?.id ?? null) : null };
  }

  /** Reads again after every wake-up, so a wake-up that comes too early or twice does no harm. */
  async wait({ id, timeoutMs }: ApiParsed<'operations.wait'>): Promise<Operation> {
    const ended = new AbortController();
    const onStop = () => ended.abort();
    if (this.stopping.signal.aborted) onStop();
    this.stopping.signal.addEventListener('abort', onStop, { once: true });
    const timer = this.clock.sleep(timeoutMs, ended.signal).then(onStop, () => undefined);
    try {
      for (;;) {
        // Waits before it reads: what ends in between then wakes it.
        const woken = this.waiters.wait(id, ended.signal);
        const operation = await this.get({ id }).catch((error: unknown) => {
          ended.abort();
          throw error;
        });
        if (operation.state !== 'running') return operation;
        if (!(await woken)) return await this.get({ id });
      }
    } finally {
      ended.abort();
      this.stopping.signal.removeEventListener('abort', onStop);
      await timer;
    }
  }

  private async lookOut(): Promise<void> {
    const { signal } = this.stopping;
    const isStopping = () => signal.aborted;
    while (!isStopping()) {
      try {
        await this.clock.sleep(look_interval_ms, signal);
        const ids = this.waiters.ids();
        if (ids.length > 0) this.waiters.wake(await this.operations.ended(ids));
      } catch (error) {
        if (!isStopping()) this.logger.warn({ err: error }, 'could not look whether operations have ended');
      }
    }
  }
}

function toOperation(row: OperationWithTargets): Operation {
  const { id, kind, state, requested_by, done, failed, total, targets } = row;
  return {
    id,
    kind,
    state,
    by: requested_by,
    progress: { done, failed, total },
    targets,
    createdAt: row.created_at.toISOString(),
    updatedAt: row.updated_at.toISOString(),
  };
}

import { CLOCK, type Clock } from '#libs/clock';
import { LOGGER, type Logger } from '#libs/telemetry';
import { Inject, Injectable } from '@nestjs/common';
import { LeaderTransaction } from '../leadership/leader-transaction.repository.js';
import type { Reconciler } from '../reconciliation/reconciler.js';
import { RUNTIME_SETTINGS, type RuntimeSettings } from '../runtime.settings.js';
import { PruningRepository, type Keeping } from './pruning.repository.js';

/** Rows of one kind in one transaction: few enough that nobody waits for it. */
const batch_rows_max = 500;
/** Between two batches while there is more: pruning has time. */
const batch_pause_ms = 1000;
const day_ms = 86_400_000;

/** Deletes old rows, so that the database of a fleet that has run for years is not larger than one of a month. */
@Injectable()
export class PruningReconciler implements Reconciler {
  readonly name = 'pruning';
  private next_ms = -Infinity;

  constructor(
    private readonly repository: PruningRepository,
    private readonly transaction: LeaderTransaction,
    @Inject(CLOCK) private readonly clock: Clock,
    @Inject(LOGGER) private readonly logger: Logger,
    @Inject(RUNTIME_SETTINGS) private readonly settings: RuntimeSettings,
  ) {}

  /** One batch of each kind; never asks for another pass at once. */
  async reconcile(): Promise<boolean> {
    const now_ms = this.clock.monotonicMs();
    if (now_ms < this.next_ms) return false;
    const pruned = await this.batch();
    const isMore = Object.values(pruned).some((rows) => rows === batch_rows_max);
    this.next_ms = now_ms + (isMore ? batch_pause_ms : this.settings.pruneIntervalMs);
    if (Object.values(pruned).some((rows) => rows > 0)) this.logger.info(pruned, 'old rows were deleted');
    return false;
  }

  private async batch(): Promise<Record<string, number>> {
    const keeping = this.keeping();
    const pruned: Record<string, number> = {};
    for (const [kind, prune] of Object.entries(this.repository.prunes))
      pruned[kind] = await this.transaction.run(async (tx) => await prune(tx, keeping, batch_rows_max));
    return pruned;
  }

  private keeping(): Keeping {
    const { allocationsKeptDays, allocationsKeptPerAccount, operationsKeptDays } = this.settings;
    const before = (days: number): Date => new Date(this.clock.wallMs() - days * day_ms);
    return {
      allocationsBefore: before(allocationsKeptDays),
      allocationsPerAccount: allocationsKeptPerAccount,
      operationsBefore: before(operationsKeptDays),
    };
  }
}

import { Inject, Injectable } from '@nestjs/common';
import { CLOCK, type Clock } from '#libs/clock';
import { AllocationService } from '../allocations/allocation.service.js';
import { ResendRepository } from '../allocations/resend.repository.js';
import { RUNTIME_SETTINGS, type RuntimeSettings } from '../runtime.settings.js';
import { batch_rows_max, type Reconciler } from './reconciler.js';

/**
 * Sends commands again of which nothing came: lost by the broker, expired while it was away, or given up by the host.
 * The same allocation under a new command id; a host that did get the first one does nothing twice.
 */
@Injectable()
export class ResendReconciler implements Reconciler {
  readonly name = 'resend';

  constructor(
    private readonly repository: ResendRepository,
    private readonly allocations: AllocationService,
    @Inject(CLOCK) private readonly clock: Clock,
    @Inject(RUNTIME_SETTINGS) private readonly settings: RuntimeSettings,
  ) {}

  async reconcile(): Promise<boolean> {
    const { commandResendMs, commandResendMaxMs } = this.settings;
    const now = new Date(this.clock.wallMs());
    const due = await this.repository.due(now, commandResendMs, commandResendMaxMs, batch_rows_max);
    if (due.length === 0) return false;
    const sent = await this.allocations.sendAgain(due);
    // Nothing sent of a full batch: what is due is about to be replaced, and reading it again now gives the same.
    return due.length === batch_rows_max && sent > 0;
  }
}

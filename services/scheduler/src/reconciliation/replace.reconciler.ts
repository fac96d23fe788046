import { Injectable } from '@nestjs/common';
import { AllocationService } from '../allocations/allocation.service.js';
import { batch_rows_max, type Reconciler } from './reconciler.js';
import { ReconciliationRepository } from './reconciliation.repository.js';

/** Ends allocations of an older definition; once they have ended, placement makes the new ones. */
@Injectable()
export class ReplaceReconciler implements Reconciler {
  readonly name = 'replace';

  constructor(
    private readonly repository: ReconciliationRepository,
    private readonly allocations: AllocationService,
  ) {}

  async reconcile(): Promise<boolean> {
    const outdated = await this.repository.outdated(batch_rows_max);
    if (outdated.length > 0) await this.allocations.stop(outdated);
    return outdated.length === batch_rows_max;
  }
}

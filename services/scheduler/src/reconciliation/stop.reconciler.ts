import { Injectable } from '@nestjs/common';
import { AllocationService } from '../allocations/allocation.service.js';
import { batch_rows_max, type Reconciler } from './reconciler.js';
import { ReconciliationRepository } from './reconciliation.repository.js';

/** Ends what nobody wants: bots to be stopped or deleted, and bots of locked accounts. */
@Injectable()
export class StopReconciler implements Reconciler {
  readonly name = 'stop';

  constructor(
    private readonly repository: ReconciliationRepository,
    private readonly allocations: AllocationService,
  ) {}

  async reconcile(): Promise<boolean> {
    const unwanted = await this.repository.unwanted(batch_rows_max);
    if (unwanted.length > 0) await this.allocations.stop(unwanted);
    return unwanted.length === batch_rows_max;
  }
}

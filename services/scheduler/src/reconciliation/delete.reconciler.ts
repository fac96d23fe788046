import { Injectable } from '@nestjs/common';
import { AllocationService } from '../allocations/allocation.service.js';
import { batch_rows_max, type Reconciler } from './reconciler.js';

/** Removes bots that are to be deleted, once nothing of them lives. */
@Injectable()
export class DeleteReconciler implements Reconciler {
  readonly name = 'delete';

  constructor(private readonly allocations: AllocationService) {}

  async reconcile(): Promise<boolean> {
    return (await this.allocations.deleteBots(batch_rows_max)) === batch_rows_max;
  }
}

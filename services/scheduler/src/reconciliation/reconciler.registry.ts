import { Injectable } from '@nestjs/common';
import { DeleteReconciler } from './delete.reconciler.js';
import { DrainReconciler } from './drain.reconciler.js';
import { HostLostReconciler } from './host-lost.reconciler.js';
import { PlacementReconciler } from './placement.reconciler.js';
import type { Reconciler } from './reconciler.js';
import { ReplaceReconciler } from './replace.reconciler.js';
import { ResendReconciler } from './resend.reconciler.js';
import { StopReconciler } from './stop.reconciler.js';

/** The order of a pass, in this one place: what frees accounts and room comes before what takes them. */
@Injectable()
export class ReconcilerRegistry {
  readonly inOrder: readonly Reconciler[];

  constructor(
    hostLost: HostLostReconciler,
    stop: StopReconciler,
    replace: ReplaceReconciler,
    remove: DeleteReconciler,
    placement: PlacementReconciler,
    drain: DrainReconciler,
    resend: ResendReconciler,
  ) {
    this.inOrder = [hostLost, stop, replace, remove, placement, drain, resend];
  }
}

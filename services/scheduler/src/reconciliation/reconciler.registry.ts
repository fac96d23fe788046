import { Injectable } from '@nestjs/common';
import { DeleteReconciler } from './delete.reconciler.js';
import { OvercommitmentReconciler } from '../hosts/overcommitment.reconciler.js';
import { MoveReconciler } from '../moves/move.reconciler.js';
import { HostLostReconciler } from './host-lost.reconciler.js';
import { PlacementReconciler } from './placement.reconciler.js';
import type { Reconciler } from './reconciler.js';
import { ReplaceReconciler } from './replace.reconciler.js';
import { ResendReconciler } from './resend.reconciler.js';
import { PruningReconciler } from '../pruning/pruning.reconciler.js';
import { RolloutReconciler } from '../rollouts/rollout.reconciler.js';
import { StopReconciler } from './stop.reconciler.js';

/** The order of a pass, in this one place: what frees accounts and room comes before what takes them. */
@Injectable()
export class ReconcilerRegistry {
  readonly inOrder: readonly Reconciler[];

  constructor(
    hostLost: HostLostReconciler,
    stop: StopReconciler,
    rollouts: RolloutReconciler,
    replace: ReplaceReconciler,
    remove: DeleteReconciler,
    placement: PlacementReconciler,
    moves: MoveReconciler,
    resend: ResendReconciler,
    overcommitment: OvercommitmentReconciler,
    pruning: PruningReconciler,
  ) {
    this.inOrder = [
      hostLost,
      stop,
      rollouts,
      replace,
      remove,
      placement,
      moves,
      resend,
      overcommitment,
      pruning,
    ];
  }
}

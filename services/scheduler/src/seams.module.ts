import { Global, Module } from '@nestjs/common';
import { ObservationStore } from './heartbeats/observation.store.js';
import { ReconcilerSignal } from './reconciliation/reconciler.signal.js';

/**
 * What the API and the running of allocations share: the API wakes the reconciler and reads what was last heard of
 * bots. Neither has an active part, so each side runs without the other.
 */
@Global()
@Module({ providers: [ReconcilerSignal, ObservationStore], exports: [ReconcilerSignal, ObservationStore] })
export class SeamsModule {}

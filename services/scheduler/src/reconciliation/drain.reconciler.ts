import { Inject, Injectable } from '@nestjs/common';
import { AllocationService } from '../allocations/allocation.service.js';
import { place } from '../placement/placement.js';
import { RUNTIME_SETTINGS, type RuntimeSettings } from '../runtime.settings.js';
import { FleetReader } from './fleet.reader.js';
import { batch_rows_max, type Reconciler } from './reconciler.js';
import { ReconciliationRepository } from './reconciliation.repository.js';

/**
 * Empties hosts that are being drained: stops what another host can take, which placement then puts there. What no
 * other can take keeps running and says why. Comes after placement, so that bots that run nowhere have the room first.
 */
@Injectable()
export class DrainReconciler implements Reconciler {
  readonly name = 'drain';

  constructor(
    private readonly repository: ReconciliationRepository,
    private readonly fleet: FleetReader,
    private readonly allocations: AllocationService,
    @Inject(RUNTIME_SETTINGS) private readonly settings: RuntimeSettings,
  ) {}

  async reconcile(): Promise<boolean> {
    const staying = await this.repository.onDrainingHosts(false, batch_rows_max);
    if (staying.length === 0) return false;
    const snapshot = await this.fleet.snapshot();
    const stops: { id: string; reason: 'asked'; actor: string | null }[] = [];
    const kept: { bot: string; reason: string }[] = [];
    for (const allocation of staying) {
      const answer = place(snapshot, allocation, this.settings.placementStrategy, allocation.host);
      if (answer.host === null) {
        const reason =
          `Host ${allocation.host} is draining, and no other can take it: ${answer.reason}`.slice(0, 300);
        if (reason !== allocation.queuedReason) kept.push({ bot: allocation.bot, reason });
        continue;
      }
      snapshot.reserve(answer.host, allocation);
      stops.push({ id: allocation.id, reason: 'asked', actor: allocation.drainBy });
    }
    if (stops.length > 0) await this.allocations.stop(stops);
    if (kept.length > 0) await this.allocations.explainWaiting(kept);
    return stops.length > 0 && staying.length === batch_rows_max;
  }
}

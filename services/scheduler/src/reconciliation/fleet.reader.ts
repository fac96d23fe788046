import { Inject, Injectable } from '@nestjs/common';
import { LeaseTable } from '../heartbeats/lease.table.js';
import { FleetSnapshot } from '../placement/fleet-snapshot.js';
import { placeAll } from '../placement/placement.js';
import { RUNTIME_SETTINGS, type RuntimeSettings } from '../runtime.settings.js';
import { ReconciliationRepository } from './reconciliation.repository.js';

const moving_rows_max = 10_000;

/** Reads the fleet for placement. */
@Injectable()
export class FleetReader {
  constructor(
    private readonly repository: ReconciliationRepository,
    private readonly leases: LeaseTable,
    @Inject(RUNTIME_SETTINGS) private readonly settings: RuntimeSettings,
  ) {}

  /**
   * The fleet now. Room is held for bots that are leaving a draining host, so that nobody takes the place for which
   * they were stopped.
   */
  async snapshot(): Promise<FleetSnapshot> {
    const snapshot = new FleetSnapshot(await this.repository.hosts((host) => this.leases.isHeard(host)));
    const moving = await this.repository.onDrainingHosts(true, moving_rows_max);
    placeAll(snapshot, moving, this.settings.placementStrategy);
    return snapshot;
  }
}

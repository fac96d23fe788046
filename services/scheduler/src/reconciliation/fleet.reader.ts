import { Injectable } from '@nestjs/common';
import { LeaseTable } from '../heartbeats/lease.table.js';
import { FleetSnapshot } from '../placement/fleet-snapshot.js';
import { ReconciliationRepository } from './reconciliation.repository.js';

/** Reads the fleet for placement. */
@Injectable()
export class FleetReader {
  constructor(
    private readonly repository: ReconciliationRepository,
    private readonly leases: LeaseTable,
  ) {}

  /** The fleet now. Room that is held for bots on their way to a host counts as taken. */
  async snapshot(): Promise<FleetSnapshot> {
    return new FleetSnapshot(await this.repository.hosts((host) => this.leases.isHeard(host)));
  }
}

import { Inject, Injectable } from '@nestjs/common';
import { LOGGER, type Logger } from '#libs/telemetry';
import { AllocationService } from '../allocations/allocation.service.js';
import { LeaseTable } from '../heartbeats/lease.table.js';
import { LeadershipLost } from '../leadership/leadership.js';
import { RUNTIME_SETTINGS, type RuntimeSettings } from '../runtime.settings.js';
import type { Reconciler } from './reconciler.js';
import { ReconciliationRepository } from './reconciliation.repository.js';

/**
 * Declares hosts down whose leases are surely over, and frees the accounts they held. The one place where an account
 * is given away without its host having said that the bot is dead; see `lease.rule.ts` for why that is safe.
 */
@Injectable()
export class HostLostReconciler implements Reconciler {
  readonly name = 'host-lost';

  constructor(
    private readonly repository: ReconciliationRepository,
    private readonly leases: LeaseTable,
    private readonly allocations: AllocationService,
    @Inject(RUNTIME_SETTINGS) private readonly settings: RuntimeSettings,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  async reconcile(): Promise<boolean> {
    const done = new Set<string>();
    // The longest leases of a host come first: where these are over, all are.
    for (const { host, leaseTtlMs } of await this.repository.hostsToLose(this.settings.leaseTtlMs)) {
      if (done.has(host) || !this.leases.condemnIfOver(host, leaseTtlMs)) continue;
      done.add(host);
      try {
        await this.lose(host, leaseTtlMs);
      } catch (error) {
        if (error instanceof LeadershipLost) throw error;
        // The accounts of the hosts behind it must come free all the same.
        this.logger.error({ err: error, host }, 'host could not be declared down, trying again');
      }
    }
    this.leases.absolveAllBut(done);
    return false;
  }

  /** Condemned until it stands in the database: when this fails, the next pass tries again. */
  private async lose(host: string, longestMs: number): Promise<void> {
    const { leaseTtlMs } = this.settings;
    const lost = await this.allocations.loseHost(host, { longestMs, leaseTtlMs });
    this.leases.absolve(host);
    this.logger.error({ host, lost, leaseTtlMs: longestMs }, 'host down');
  }
}

import { Inject, Injectable } from '@nestjs/common';
import { CLOCK, type Clock } from '#libs/clock';
import { LOGGER, type Logger } from '#libs/telemetry';
import { AllocationService } from '../allocations/allocation.service.js';
import { ResendRepository } from '../allocations/resend.repository.js';
import { RestoreRecovery } from '../leadership/restore.recovery.js';
import { RUNTIME_SETTINGS, type RuntimeSettings } from '../runtime.settings.js';
import { batch_rows_max, type Reconciler } from './reconciler.js';

/**
 * Sends commands again of which nothing came: lost by the broker, expired while it was away, or given up by the host.
 * The same allocation under a new command id; a host that did get the first one does nothing twice.
 */
@Injectable()
export class ResendReconciler implements Reconciler {
  readonly name = 'resend';

  constructor(
    private readonly repository: ResendRepository,
    private readonly allocations: AllocationService,
    private readonly recovery: RestoreRecovery,
    @Inject(CLOCK) private readonly clock: Clock,
    @Inject(RUNTIME_SETTINGS) private readonly settings: RuntimeSettings,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  async reconcile(): Promise<boolean> {
    const { commandResendMs, commandResendMaxMs } = this.settings;
    const now = new Date(this.clock.wallMs());
    await this.giveUp(now);
    // After a restore, what was placed before may run elsewhere by now; a stop is right whatever runs.
    const withStarts = await this.recovery.mayPlace();
    const wait = { first_ms: commandResendMs, max_ms: commandResendMaxMs, withStarts };
    const due = await this.repository.due(now, wait, batch_rows_max);
    if (due.length === 0) return false;
    const sent = await this.allocations.sendAgain(due);
    // Nothing sent of a full batch: what is due is about to be replaced, and reading it again now gives the same.
    return due.length === batch_rows_max && sent > 0;
  }

  /**
   * A host that is heard and takes nothing up refuses the command, or never gets it. Waiting for ever would show a bot
   * on its way that never comes. It is told to end what it may have; the end counts as a failure, so the bot is tried
   * again later, elsewhere when there is an elsewhere.
   */
  private async giveUp(now: Date): Promise<void> {
    const { commandSendsMax, commandResendMaxMs } = this.settings;
    const hopeless = await this.repository.hopeless(now, commandSendsMax, commandResendMaxMs, batch_rows_max);
    if (hopeless.length === 0) return;
    this.logger.warn(
      { allocations: hopeless.length, hosts: [...new Set(hopeless.map(({ host }) => host))].slice(0, 20) },
      'hosts do not take up their starts',
    );
    await this.allocations.stop(hopeless.map(({ id }) => ({ id, reason: 'rejected', actor: null })));
  }
}

import { Inject, Injectable } from '@nestjs/common';
import { CLOCK, type Clock } from '#libs/clock';
import { LOGGER, type Logger } from '#libs/telemetry';
import { AllocationService, type Placing } from '../allocations/allocation.service.js';
import { LeadershipLost } from '../leadership/leadership.js';
import { RestoreRecovery } from '../leadership/restore.recovery.js';
import { placeAll } from '../placement/placement.js';
import { RUNTIME_SETTINGS, type RuntimeSettings } from '../runtime.settings.js';
import { FleetReader } from './fleet.reader.js';
import { batch_rows_max, type Reconciler } from './reconciler.js';
import { ReconciliationRepository, type IdleBot } from './reconciliation.repository.js';

/** Bots looked at in one pass: all of them must be, or a queue of large ones would hide the small ones behind. */
const idle_rows_max = 10_000;
/**
 * Longest a pass goes on placing, in whole batches: stops, above all, come before it in the next pass, and have to
 * reach their bots within a second however many bots wait to be placed.
 */
const placing_ms_max = 200;
/** Bots that may fail on their own in a batch before the batch is taken to fail for another reason. */
const faulty_bots_max = 8;
const faulty_reason = 'It cannot be placed because of a defect; the log of the scheduler says more.';

/** Places bots that should run and do not; tells those that no host can take why. */
@Injectable()
export class PlacementReconciler implements Reconciler {
  readonly name = 'placement';

  constructor(
    private readonly repository: ReconciliationRepository,
    private readonly fleet: FleetReader,
    private readonly allocations: AllocationService,
    private readonly recovery: RestoreRecovery,
    @Inject(CLOCK) private readonly clock: Clock,
    @Inject(LOGGER) private readonly logger: Logger,
    @Inject(RUNTIME_SETTINGS) private readonly settings: RuntimeSettings,
  ) {}

  async reconcile(): Promise<boolean> {
    if (!(await this.recovery.mayPlace())) return false;
    const idle = await this.repository.idleBots(
      new Date(this.clock.wallMs()),
      idle_rows_max,
      this.settings.queueAgeingMs,
    );
    const done = idle.length === 0 || (await this.placeOrQueue(idle));
    await this.clearReasons();
    return !done || idle.length === idle_rows_max;
  }

  /** False when its time was up before all were placed; what is left is for the next pass. */
  private async placeOrQueue(idle: readonly IdleBot[]): Promise<boolean> {
    const until_ms = this.clock.monotonicMs() + placing_ms_max;
    const waiting = idle.flatMap((bot) => {
      const reason = waitsForItsHost(bot);
      return reason === null ? [] : [{ request: bot, reason }];
    });
    const free = idle.filter((bot) => waitsForItsHost(bot) === null);
    const { placed, refused } = placeAll(await this.fleet.snapshot(), free, this.settings.placementStrategy);
    const places = placed.map(({ request: { bot, generation, fresh }, host }) => ({
      bot,
      generation,
      fresh,
      host,
    }));
    const faulty: string[] = [];
    let tried = 0;
    for (const batch of chunks(places, this.settings.placementBatch)) {
      await this.placeBatch(batch, faulty);
      tried += batch.length;
      if (tried < places.length && this.clock.monotonicMs() >= until_ms) break;
    }
    const faults = idle
      .filter((bot) => faulty.includes(bot.bot))
      .map((request) => ({ request, reason: faulty_reason }));
    const news = [...waiting, ...refused, ...faults].filter(
      ({ request, reason }) => request.queuedReason !== reason,
    );
    for (const batch of chunks(news, batch_rows_max)) {
      await this.allocations.explainWaiting(
        batch.map(({ request, reason }) => ({ bot: request.bot, reason })),
      );
    }
    return tried === places.length;
  }

  /**
   * Places a batch, or its halves when that fails: what is wrong with one bot must not keep others from running.
   * @param faulty takes the bots that fail alone
   */
  private async placeBatch(batch: readonly Placing[], faulty: string[]): Promise<void> {
    try {
      await this.allocations.place(batch);
    } catch (error) {
      const [first] = batch;
      if (error instanceof LeadershipLost || first === undefined || faulty.length >= faulty_bots_max)
        throw error;
      if (batch.length === 1) {
        this.logger.error({ err: error, bot: first.bot }, 'bot cannot be placed');
        faulty.push(first.bot);
        return;
      }
      for (const half of chunks(batch, Math.ceil(batch.length / 2))) await this.placeBatch(half, faulty);
    }
  }

  private async clearReasons(): Promise<void> {
    const bots = await this.repository.wronglyWaiting(batch_rows_max);
    if (bots.length > 0) await this.allocations.clearWaiting(bots);
  }
}

/** `onHostLost: wait`: not before its host is back, which it is only once all it had is dead. */
function waitsForItsHost({ onHostLost, last }: IdleBot): string | null {
  if (onHostLost !== 'wait' || last?.state !== 'lost' || last.hostState !== 'down') return null;
  return `Host ${last.host} is down, and the bot waits for it (onHostLost: wait).`;
}

function* chunks<T>(items: readonly T[], size: number): Generator<T[]> {
  for (let start = 0; start < items.length; start += size) yield items.slice(start, start + size);
}

import { Inject, Injectable } from '@nestjs/common';
import { CLOCK, type Clock } from '#libs/clock';
import { AllocationService } from '../allocations/allocation.service.js';
import { placeAll } from '../placement/placement.js';
import { RUNTIME_SETTINGS, type RuntimeSettings } from '../runtime.settings.js';
import { FleetReader } from './fleet.reader.js';
import { batch_rows_max, type Reconciler } from './reconciler.js';
import { ReconciliationRepository, type IdleBot } from './reconciliation.repository.js';

/** Bots looked at in one pass: all of them must be, or a queue of large ones would hide the small ones behind. */
const idle_rows_max = 10_000;

/** Places bots that should run and do not; tells those that no host can take why. */
@Injectable()
export class PlacementReconciler implements Reconciler {
  readonly name = 'placement';

  constructor(
    private readonly repository: ReconciliationRepository,
    private readonly fleet: FleetReader,
    private readonly allocations: AllocationService,
    @Inject(CLOCK) private readonly clock: Clock,
    @Inject(RUNTIME_SETTINGS) private readonly settings: RuntimeSettings,
  ) {}

  async reconcile(): Promise<boolean> {
    const idle = await this.repository.idleBots(new Date(this.clock.wallMs()), idle_rows_max);
    if (idle.length > 0) await this.placeOrQueue(idle);
    await this.clearReasons();
    return idle.length === idle_rows_max;
  }

  private async placeOrQueue(idle: readonly IdleBot[]): Promise<void> {
    const waiting = idle.flatMap((bot) => {
      const reason = waitsForItsHost(bot);
      return reason === null ? [] : [{ request: bot, reason }];
    });
    const free = idle.filter((bot) => waitsForItsHost(bot) === null);
    const { placed, refused } = placeAll(await this.fleet.snapshot(), free, this.settings.placementStrategy);
    for (const batch of chunks(placed, this.settings.placementBatch)) {
      await this.allocations.place(
        batch.map(({ request, host }) => ({
          bot: request.bot,
          generation: request.generation,
          fresh: request.fresh,
          host,
        })),
      );
    }
    const news = [...waiting, ...refused].filter(({ request, reason }) => request.queuedReason !== reason);
    for (const batch of chunks(news, batch_rows_max)) {
      await this.allocations.explainWaiting(
        batch.map(({ request, reason }) => ({ bot: request.bot, reason })),
      );
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

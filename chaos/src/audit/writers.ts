import type { Clock } from '#libs/clock';
import { type EventProducer, type ProducerState, StorageAway } from './producers/event.producer.js';

const batch_max = 50;
const pause_ms = 20;
/** What is kept is looked at this often at least. */
const look_events = 200;

/**
 * Has producers write, each its share of so many events in all. Each goes on by itself while its storage is there, and
 * waits while it keeps as much as it may, as a producer refuses new work before it drops events.
 */
export class Writers {
  private total = 0;

  constructor(
    private readonly producers: readonly EventProducer[],
    private readonly clock: Clock,
    private readonly options: { readonly events: number; readonly kept_max: number },
  ) {}

  /** Events written so far, of all producers. */
  get written(): number {
    return this.total;
  }

  /** Counts events that were written by other means. */
  add(count: number): void {
    this.total += count;
  }

  async run(stop: AbortSignal): Promise<void> {
    await Promise.all(this.producers.map(async (producer) => await this.runOne(producer, stop)));
  }

  private async runOne(producer: EventProducer, stop: AbortSignal): Promise<void> {
    const { events, kept_max } = this.options;
    const share = Math.ceil(events / this.producers.length);
    let own = 0;
    let unlooked = look_events;
    while (own < share && this.total < events) {
      stop.throwIfAborted();
      try {
        if (unlooked >= look_events) {
          if ((await producer.state()).kept >= kept_max) {
            await this.clock.sleep(pause_ms, stop);
            continue;
          }
          unlooked = 0;
        }
        const count = Math.min(batch_max, share - own, events - this.total);
        // Taken before it is written, so that all producers together write no more than is wanted.
        this.total += count;
        const written = await this.writeOrGiveBack(producer, count);
        this.total += written - count;
        own += written;
        unlooked += written;
      } catch (error) {
        stop.throwIfAborted();
        if (!(error instanceof StorageAway)) throw error;
        await this.clock.sleep(pause_ms * 10, stop);
      }
    }
  }

  private async writeOrGiveBack(producer: EventProducer, count: number): Promise<number> {
    try {
      return await producer.write(count);
    } catch (error) {
      this.total -= count;
      throw error;
    }
  }
}

/** Of each; throws `StorageAway` while the storage of one is. */
export async function statesOf(producers: readonly EventProducer[]): Promise<ProducerState[]> {
  return await Promise.all(producers.map(async (producer) => await producer.state()));
}

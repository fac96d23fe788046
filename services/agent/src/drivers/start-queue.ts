import type { Clock } from '#libs/clock';
import { DriverError } from './driver.js';
import { StartLimit, type StartLimitBounds, type StartWork } from './start-limit.js';

/** What takes longer no longer counts: others go on, and whoever asked waits for his own answer alone. */
const OVERTIME_MS = 10_000;
/** Who is nearest to a running bot goes first. */
const order = ['start', 'create', 'network'] as const satisfies readonly StartWork[];

interface Waiting {
  readonly go: () => void;
}

/**
 * Lets so many pieces of start work go to the engine at a time as `StartLimit` finds it takes well. Stops, kills and
 * removals never pass through here. A call that hangs keeps its place for ten seconds, no longer.
 */
export class StartQueue {
  private readonly limit: StartLimit;
  private readonly queues: Readonly<Record<StartWork, Waiting[]>> = { start: [], create: [], network: [] };
  private underWay = 0;

  /** @param waiting_max work beyond so many in the queue is refused with `onFull` */
  constructor(
    bounds: StartLimitBounds,
    private readonly clock: Clock,
    private readonly waiting_max: number,
    private readonly onFull: () => Error,
  ) {
    this.limit = new StartLimit(bounds);
  }

  /** How many may be under way now. */
  get parallelMax(): number {
    return this.limit.limit;
  }

  async run<T>(kind: StartWork, work: () => Promise<T>): Promise<T> {
    await this.turn(kind);
    const parallel = this.underWay;
    const began_ms = this.clock.monotonicMs();
    const done = new AbortController();
    const place = { held: true };
    const giveBack = (): void => {
      if (!place.held) return;
      place.held = false;
      this.underWay -= 1;
      this.next();
    };
    this.clock.sleep(OVERTIME_MS, done.signal).then(
      () => {
        this.limit.late();
        giveBack();
      },
      // It was done before.
      () => undefined,
    );
    try {
      const result = await work();
      if (place.held) this.limit.done({ work: kind, took_ms: this.clock.monotonicMs() - began_ms, parallel });
      return result;
    } catch (error) {
      if (place.held && error instanceof DriverError && error.fault === 'engine-timeout') this.limit.late();
      throw error;
    } finally {
      done.abort();
      giveBack();
    }
  }

  private async turn(kind: StartWork): Promise<void> {
    const waiting = order.reduce((sum, each) => sum + this.queues[each].length, 0);
    if (this.underWay < this.limit.limit && waiting === 0) {
      this.underWay += 1;
      return;
    }
    if (waiting >= this.waiting_max) throw this.onFull();
    await new Promise<void>((resolve) => this.queues[kind].push({ go: resolve }));
  }

  private next(): void {
    while (this.underWay < this.limit.limit) {
      const kind = order.find((each) => this.queues[each].length > 0);
      const waiting = kind === undefined ? undefined : this.queues[kind].shift();
      if (waiting === undefined) return;
      this.underWay += 1;
      waiting.go();
    }
  }
}

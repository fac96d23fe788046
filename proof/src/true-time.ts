import { setImmediate as turnOfTheLoop } from 'node:timers/promises';

interface Due {
  readonly at_ms: number;
  readonly order: number;
  readonly run: () => void;
}

/** Turns of the event loop without any news after which everything has gone as far as it goes. */
const quiet_turns = 4;
/** Work outside of the simulation (the database) is waited for as long, in real time. */
const outside_ms_max = 3000;

/**
 * The time nobody in the simulation can read: clocks are made from it. It stands still while anything is under way
 * outside (a query, a file), so the outside takes no time at all unless somebody says otherwise.
 */
export class TrueTime {
  private now = 0;
  private order = 0;
  private outside = 0;
  private news = 0;
  private readonly timeline = new Set<Due>();

  get now_ms(): number {
    return this.now;
  }

  /** Calls back at that time; returns a function that forgets it. */
  at(at_ms: number, run: () => void): () => void {
    const due: Due = { at_ms: Math.max(this.now, at_ms), order: this.order++, run };
    this.timeline.add(due);
    return () => void this.timeline.delete(due);
  }

  /** Time stands still until it is settled. */
  async outsideOf<T>(work: PromiseLike<T>): Promise<T> {
    const end = this.beginOutside();
    try {
      return await work;
    } finally {
      end();
    }
  }

  /** The same, for what calls back. */
  beginOutside(): () => void {
    this.outside += 1;
    this.news += 1;
    let open = true;
    return () => {
      if (!open) return;
      open = false;
      this.outside -= 1;
      this.news += 1;
    };
  }

  /** Lets `ms` pass, step by step: what becomes due runs, and what it leads to runs, before anything later does. */
  async advance(ms: number): Promise<void> {
    const end_ms = this.now + ms;
    await this.settle();
    for (let next = this.next(end_ms); next !== null; next = this.next(end_ms)) {
      this.now = Math.max(this.now, next.at_ms);
      this.timeline.delete(next);
      next.run();
      await this.settle();
    }
    this.now = end_ms;
  }

  /** Resolves when nothing can happen any more before time passes. */
  async settle(): Promise<void> {
    const give_up_ms = performance.now() + outside_ms_max;
    for (let turns = 0; turns < quiet_turns; turns += 1) {
      const before = this.news;
      await turnOfTheLoop();
      const busy = this.outside > 0 && performance.now() < give_up_ms;
      if (busy || before !== this.news) turns = -1;
    }
  }

  private next(end_ms: number): Due | null {
    let first: Due | null = null;
    for (const due of this.timeline) {
      if (due.at_ms > end_ms) continue;
      if (first === null || due.at_ms < first.at_ms || (due.at_ms === first.at_ms && due.order < first.order))
        first = due;
    }
    return first;
  }
}

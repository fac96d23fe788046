import { CLOCK, Wake, type Clock } from '#libs/clock';
import { Inject, Injectable } from '@nestjs/common';
import { QueryRepository } from './query.repository.js';

/** Between two looks at the log while somebody waits for it. Another process may be the one that adds to it. */
const look_ms = 200;

interface Waiter {
  readonly size: number;
  readonly wake: Wake;
}

/** Tells those who wait that the log has grown: one look for all of them, and none while nobody waits. */
@Injectable()
export class LogGrowth {
  private readonly waiters = new Set<Waiter>();
  private readonly ended = new AbortController();
  private looking = false;

  constructor(
    private readonly repository: QueryRepository,
    @Inject(CLOCK) private readonly clock: Clock,
  ) {}

  /** Returns once the log is larger than `size`, after `ms`, or when the service stops; perhaps earlier. */
  async beyond(size: number, ms: number): Promise<void> {
    const waiter = { size, wake: new Wake() };
    this.waiters.add(waiter);
    if (!this.looking) void this.look();
    try {
      await waiter.wake.wait(this.clock, ms, this.ended.signal);
    } finally {
      this.waiters.delete(waiter);
    }
  }

  /** Whoever waits is answered, so that the service's stop does not wait for them; nobody waits any more. */
  stop(): void {
    this.ended.abort();
  }

  get isEnded(): boolean {
    return this.ended.signal.aborted;
  }

  private async look(): Promise<void> {
    this.looking = true;
    try {
      while (this.waiters.size > 0 && !this.isEnded) {
        const size = await this.repository.size();
        for (const waiter of this.waiters) if (size > waiter.size) waiter.wake.call();
        await this.clock.sleep(look_ms, this.ended.signal);
      }
    } catch {
      // Whoever waits looks for himself, and tells what is wrong.
      for (const waiter of this.waiters) waiter.wake.call();
    } finally {
      this.looking = false;
    }
  }
}

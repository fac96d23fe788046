import { CLOCK, type Clock } from '#libs/clock';
import { Inject, Injectable } from '@nestjs/common';
import { LogRepository } from './log.repository.js';

/** Has the month partitions made before they are needed: of what comes, of this month and of the next. */
@Injectable()
export class Partitions {
  /** Months that are there, as `2026-01`. */
  private readonly made = new Set<string>();

  constructor(
    private readonly log: LogRepository,
    @Inject(CLOCK) private readonly clock: Clock,
  ) {}

  /** @param times of events, ISO in UTC */
  async ensureFor(times: readonly string[]): Promise<void> {
    const now = new Date(this.clock.wallMs());
    const next = new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() + 1, 1));
    const wanted = new Set([...times, now.toISOString(), next.toISOString()].map((time) => time.slice(0, 7)));
    for (const month of wanted) {
      if (this.made.has(month)) continue;
      await this.log.ensurePartitions(`${month}-01`, `${month}-01`);
      this.made.add(month);
    }
  }

  /** They may have been taken away meanwhile: looks again before the next batch. */
  forget(): void {
    this.made.clear();
  }
}

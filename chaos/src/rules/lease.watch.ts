import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Clock } from '#libs/clock';
import { LeaseFile } from '#libs/contracts';

const look_ms = 100;

/** Remembers the last lease that each allocation was given, as its agent wrote it for its bot. */
export class LeaseWatch {
  /** Deadline on CLOCK_BOOTTIME, milliseconds, by allocation. */
  readonly deadlines = new Map<string, number>();
  private readonly stopping = new AbortController();
  private loop: Promise<void> | null = null;

  /** @param runRoot has a folder for each host, with one for each allocation */
  constructor(
    private readonly runRoot: string,
    private readonly clock: Clock,
  ) {}

  start(): void {
    this.loop ??= this.run();
  }

  async stop(): Promise<void> {
    this.stopping.abort();
    await this.loop;
  }

  private async run(): Promise<void> {
    while (!this.stopping.signal.aborted) {
      for (const host of namesIn(this.runRoot))
        for (const allocation of namesIn(join(this.runRoot, host)))
          this.look(join(this.runRoot, host, allocation, 'lease.json'));
      try {
        await this.clock.sleep(look_ms, this.stopping.signal);
      } catch {
        return; // asked to stop
      }
    }
  }

  private look(path: string): void {
    try {
      const { allocation, deadlineBoottimeMs } = LeaseFile.parse(JSON.parse(readFileSync(path, 'utf8')));
      this.deadlines.set(allocation, Math.max(deadlineBoottimeMs, this.deadlines.get(allocation) ?? 0));
    } catch (error) {
      // Not given a lease yet, or just removed.
      if (!['ENOENT', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
    }
  }
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return []; // not there yet, or gone with its host
  }
}

import { readFileSync } from 'node:fs';

/** The most that a process held, MiB of resident memory: in the first tenth of the work, and in all of it. */
export interface Peak {
  readonly atTenth_mib: number;
  readonly atEnd_mib: number;
}

interface Sample {
  readonly progress: number;
  readonly rss_mib: ReadonlyMap<string, number>;
}

const sample_ms = 100;
const page_bytes = 4096;
const mib = 1024 ** 2;
const tenth = 0.1;

/** Looks at the memory of processes while they work. Linux. */
export class MemoryWatch {
  private readonly samples: Sample[] = [];
  private readonly timer: NodeJS.Timeout;

  /** @param progress of the work, in whatever measure; it only grows */
  constructor(
    private readonly pids: ReadonlyMap<string, number | null>,
    private readonly progress: () => number,
  ) {
    this.look();
    this.timer = setInterval(() => this.look(), sample_ms);
  }

  /** By process. */
  end(): Record<string, Peak> {
    clearInterval(this.timer);
    this.look();
    const whole = this.samples.at(-1)?.progress ?? 0;
    const early = this.samples.filter(({ progress }) => progress <= whole * tenth);
    const peak = (name: string, samples: readonly Sample[]): number =>
      samples.reduce((most, { rss_mib }) => Math.max(most, rss_mib.get(name) ?? 0), 0);
    return Object.fromEntries(
      [...this.pids.keys()].map((name) => [
        name,
        { atTenth_mib: peak(name, early), atEnd_mib: peak(name, this.samples) },
      ]),
    );
  }

  private look(): void {
    const rss = [...this.pids].map(([name, pid]) => [name, pid === null ? 0 : rssOf(pid)] as const);
    this.samples.push({ progress: this.progress(), rss_mib: new Map(rss) });
  }
}

/** Resident memory; 0 of a process that is gone. */
function rssOf(pid: number): number {
  try {
    const pages = Number(readFileSync(`/proc/${pid}/statm`, 'utf8').split(' ')[1] ?? 0);
    return (pages * page_bytes) / mib;
  } catch {
    return 0;
  }
}

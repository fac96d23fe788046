/** Tasks remembered at once; the one measured longest ago is forgotten first. */
const SAMPLES_MAX = 10_000;

export interface CpuSample {
  /** Wall clock. */
  readonly at_ms: number;
  /** CPU time since the start of the task. */
  readonly cpu_ms: number;
}

/** Turns running totals of CPU time into use, by remembering each task's last sample. */
export class CpuMeter {
  private readonly last = new Map<string, CpuSample>();

  /** Thousandths of a core since the last sample of this task, at the first since its start. */
  millis(id: string, now: CpuSample, started_ms: number): number {
    const before = this.before(id, now, started_ms);
    this.remember(id, { at_ms: now.at_ms, cpu_ms: now.cpu_ms });
    const elapsed_ms = now.at_ms - before.at_ms;
    if (elapsed_ms <= 0) return 0;
    return Math.max(0, Math.round(((now.cpu_ms - before.cpu_ms) / elapsed_ms) * 1000));
  }

  forget(id: string): void {
    this.last.delete(id);
  }

  private before(id: string, now: CpuSample, started_ms: number): CpuSample {
    const last = this.last.get(id);
    // A total that shrank, or a sample from before the start, belongs to an earlier run of the task.
    const usable = last !== undefined && last.cpu_ms <= now.cpu_ms && last.at_ms >= started_ms;
    return usable ? last : { at_ms: started_ms, cpu_ms: 0 };
  }

  private remember(id: string, sample: CpuSample): void {
    this.last.delete(id);
    this.last.set(id, sample);
    const [oldest] = this.last.keys();
    if (this.last.size > SAMPLES_MAX && oldest !== undefined) this.last.delete(oldest);
  }
}

import type { Clock } from '#libs/clock';

export interface WorkQueueOptions<T> {
  readonly concurrency: number;
  /** Groups of up to `max`, gathered for at most `waitMs` from the first; absent: one at a time. */
  readonly batch?: { readonly max: number; readonly waitMs: number } | undefined;
  /** Whether an item is to be worked on alone although there is `batch`. */
  readonly isAlone: (item: T) => boolean;
  /** Must not reject. */
  readonly work: (group: T[]) => Promise<void>;
}

/** Hands items in order to at most `concurrency` workers, one by one or gathered. Bounded by who fills it. */
export class WorkQueue<T> {
  private items: T[] = [];
  private alone: T[] = [];
  private active = 0;
  private gathering = false;
  private gathered = false;
  private idleListeners: (() => void)[] = [];

  constructor(
    private readonly options: WorkQueueOptions<T>,
    private readonly clock: Clock,
  ) {}

  add(item: T): void {
    if (this.options.batch !== undefined && this.options.isAlone(item)) this.alone.push(item);
    else this.items.push(item);
    this.pump();
  }

  /** Takes out what nobody works on yet. */
  clear(): T[] {
    return [...this.items.splice(0), ...this.alone.splice(0)];
  }

  /** Resolves when nobody works. */
  async idle(): Promise<void> {
    if (this.active === 0) return;
    await new Promise<void>((resolve) => {
      this.idleListeners.push(resolve);
    });
  }

  private pump(): void {
    while (this.active < this.options.concurrency) {
      const group = this.next();
      if (group.length === 0) return;
      this.active++;
      void this.options.work(group).finally(() => {
        this.active--;
        this.pump();
        if (this.active === 0) for (const listener of this.idleListeners.splice(0)) listener();
      });
    }
  }

  private next(): T[] {
    const { batch } = this.options;
    if (batch === undefined) return this.items.splice(0, 1);
    if (this.alone.length > 0) return this.alone.splice(0, 1);
    if (this.items.length === 0) return [];
    if (this.items.length < batch.max && !this.gathered) {
      this.gather(batch.waitMs);
      return [];
    }
    this.gathered = false;
    return this.items.splice(0, batch.max);
  }

  private gather(wait_ms: number): void {
    if (this.gathering) return;
    this.gathering = true;
    void this.clock.sleep(wait_ms).then(() => {
      this.gathering = false;
      this.gathered = this.items.length > 0;
      this.pump();
    });
  }
}

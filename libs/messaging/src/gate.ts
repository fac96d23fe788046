import type { Clock } from '#libs/clock';

/** Work that may be let in; `refuse` is called instead of `run` where it is not. Neither may throw or reject. */
export interface Admission {
  run(): Promise<void>;
  refuse(): void;
}

interface Waiting extends Admission {
  readonly since_ms: number;
}

export interface GateBounds {
  /** At a time. */
  readonly concurrency_max: number;
  /** Waiting for their turn. */
  readonly queue_max: number;
  /** What has waited longer is refused: whoever asked has given up. */
  readonly wait_ms_max: number;
}

/** Lets in a bounded number at a time, keeps a bounded number waiting for a bounded time, refuses the rest at once. */
export class Gate {
  private running = 0;
  private closed = false;
  private waiting: Waiting[] = [];
  private idleListeners: (() => void)[] = [];

  constructor(
    private readonly bounds: GateBounds,
    private readonly clock: Clock,
  ) {}

  enter(admission: Admission): void {
    if (this.closed) admission.refuse();
    else if (this.running < this.bounds.concurrency_max) this.start(admission);
    else if (this.waiting.length >= this.bounds.queue_max) admission.refuse();
    else
      this.waiting.push({
        run: () => admission.run(),
        refuse: () => admission.refuse(),
        since_ms: this.clock.monotonicMs(),
      });
  }

  /** Refuses what waits and what comes; resolves when what runs has ended. */
  async close(): Promise<void> {
    this.closed = true;
    const waiting = this.waiting;
    this.waiting = [];
    for (const admission of waiting) admission.refuse();
    if (this.running === 0) return;
    await new Promise<void>((resolve) => {
      this.idleListeners.push(resolve);
    });
  }

  private start(admission: Admission): void {
    this.running++;
    void admission.run().finally(() => {
      this.running--;
      this.next();
    });
  }

  private next(): void {
    for (let first = this.waiting.shift(); first !== undefined; first = this.waiting.shift()) {
      if (this.clock.monotonicMs() - first.since_ms <= this.bounds.wait_ms_max) {
        this.start(first);
        return;
      }
      first.refuse();
    }
    if (this.running > 0) return;
    for (const listener of this.idleListeners.splice(0)) listener();
  }
}

import { Injectable } from '@nestjs/common';

/**
 * Tells the reconciler that there may be something to do. Carries no input: a pass re-reads everything it needs, so
 * a signal that is lost costs time only, and any number of them make one pass.
 */
@Injectable()
export class ReconcilerSignal {
  private reasons = new Set<string>();
  private waiter: (() => void) | null = null;

  /** @param reason for the log; a few constant words */
  wake(reason: string): void {
    if (this.reasons.size < 20) this.reasons.add(reason);
    this.waiter?.();
  }

  /** Resolves at once when something was signalled since the last `take`, else with the next signal or abort. */
  async next(signal: AbortSignal): Promise<void> {
    if (this.reasons.size > 0 || signal.aborted) return;
    await new Promise<void>((resolve) => {
      const done = (): void => {
        this.waiter = null;
        signal.removeEventListener('abort', done);
        resolve();
      };
      this.waiter = done;
      signal.addEventListener('abort', done, { once: true });
    });
  }

  /** The reasons since the last time, which are thereby dealt with. */
  take(): string[] {
    const reasons = [...this.reasons];
    this.reasons = new Set();
    return reasons;
  }
}

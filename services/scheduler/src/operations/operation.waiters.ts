import { refusal } from '../errors.js';

/** Most requests that may wait at once; each holds a slot of the request server. */
export const waiters_max = 1024;

/**
 * Those who wait for operations to end, in this process. Woken by id; who is not woken in time gives up by itself.
 * Holds no result: the woken read the operation again.
 */
export class OperationWaiters {
  private readonly waiting = new Map<string, Set<() => void>>();
  private count = 0;

  /** Ids of the operations that are waited for. */
  ids(): string[] {
    return [...this.waiting.keys()];
  }

  /**
   * Resolves true when the operation is said to have ended, false when the signal aborts first. Throws `unavailable`,
   * at once and not by the promise, when too many wait.
   */
  wait(id: string, signal: AbortSignal): Promise<boolean> {
    if (signal.aborted) return Promise.resolve(false);
    if (this.count >= waiters_max) throw refusal.tooManyWaiters();
    return new Promise<boolean>((resolve) => {
      const settle = (woken: boolean) => {
        this.forget(id, wake);
        signal.removeEventListener('abort', giveUp);
        resolve(woken);
      };
      const wake = () => settle(true);
      const giveUp = () => settle(false);
      this.remember(id, wake);
      signal.addEventListener('abort', giveUp, { once: true });
    });
  }

  /** Wakes all who wait for these operations. */
  wake(ids: Iterable<string>): void {
    for (const id of ids) for (const wake of [...(this.waiting.get(id) ?? [])]) wake();
  }

  /** Wakes everybody; for shutdown. */
  wakeAll(): void {
    this.wake(this.ids());
  }

  private remember(id: string, wake: () => void): void {
    const those = this.waiting.get(id) ?? new Set();
    those.add(wake);
    this.waiting.set(id, those);
    this.count += 1;
  }

  private forget(id: string, wake: () => void): void {
    const those = this.waiting.get(id);
    if (those?.delete(wake) !== true) return;
    this.count -= 1;
    if (those.size === 0) this.waiting.delete(id);
  }
}

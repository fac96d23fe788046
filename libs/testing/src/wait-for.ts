import { setTimeout as delay } from 'node:timers/promises';

export interface WaitOptions {
  /** Default 30 s; for a stuck test, not an assertion about speed. */
  readonly timeoutMs?: number;
  /** First pause between two looks; it doubles up to 100 ms. */
  readonly intervalMs?: number;
  /** What is waited for, for the message of the failure. */
  readonly what?: string;
}

/**
 * Looks until the condition gives something truthy and returns that. A condition that throws (an `expect`, say) is
 * looked at again; its last error becomes the cause of the failure.
 */
export async function waitFor<T>(
  condition: () => T | Promise<T>,
  { timeoutMs = 30_000, intervalMs = 5, what = 'the condition' }: WaitOptions = {},
): Promise<NonNullable<T>> {
  const deadline_ms = performance.now() + timeoutMs;
  let pause_ms = intervalMs;
  let last: unknown;
  for (;;) {
    try {
      const value = await condition();
      if (value) return value;
      last = undefined;
    } catch (error) {
      last = error;
    }
    if (performance.now() >= deadline_ms) {
      const seen = last instanceof Error ? `: ${last.message}` : '';
      throw new Error(`Waited ${timeoutMs} ms for ${what}${seen}`, { cause: last });
    }
    await delay(pause_ms);
    pause_ms = Math.min(pause_ms * 2, 100);
  }
}

import type { Clock } from '#libs/clock';

/** Sleeps; when the signal aborts, throws its reason, which says more than that a sleep was aborted. */
export async function pause(clock: Clock, ms: number, signal: AbortSignal): Promise<void> {
  try {
    await clock.sleep(ms, signal);
  } catch (error) {
    signal.throwIfAborted();
    throw error;
  }
}

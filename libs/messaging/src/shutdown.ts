import type { Clock } from '#libs/clock';

/** Whether `work` ended within the time; what it rejects with is thrown. */
export async function endsWithin(work: Promise<unknown>, ms: number, clock: Clock): Promise<boolean> {
  const abort = new AbortController();
  const late = clock.sleep(ms, abort.signal).then(
    () => false,
    () => false,
  );
  try {
    return await Promise.race([work.then(() => true), late]);
  } finally {
    abort.abort();
  }
}

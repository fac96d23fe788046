const FIRST_MS = 200;
const LAST_MS = 5_000;

/** How long to wait before trying again after so many failures in a row: doubling, never longer than 5 s. */
export function backoffMs(failures: number): number {
  return Math.min(LAST_MS, FIRST_MS * 2 ** Math.min(failures, 10));
}

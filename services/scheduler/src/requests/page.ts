/** Largest page as JSON; below the 1 MiB a NATS server lets through by default, with room for the envelope. */
export const page_bytes_max = 512 * 1024;

export interface Page<T> {
  readonly rows: T[];
  /** Key of the last row when there may be more. */
  readonly next: string | null;
}

/**
 * A page of at most `limit` rows and `page_bytes_max` bytes, but of one row at least.
 * @param rows in order; one more than `limit` when there is more
 */
export function pageOf<T>(rows: readonly T[], limit: number, key: (row: T) => string): Page<T> {
  const fitting: T[] = [];
  let bytes = 0;
  for (const row of rows.slice(0, limit)) {
    bytes += Buffer.byteLength(JSON.stringify(row)) + 1;
    if (fitting.length > 0 && bytes > page_bytes_max) break;
    fitting.push(row);
  }
  const last = fitting.at(-1);
  return { rows: fitting, next: last === undefined || fitting.length === rows.length ? null : key(last) };
}

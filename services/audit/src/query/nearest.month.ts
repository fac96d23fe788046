import type { Pages, StoredFilter } from './stored.query.js';

/**
 * The filter within the one month that the page most likely lies in: a log of years has hundreds of partitions, and
 * merely planning for all of them takes longer than reading a page. What is found there comes before everything else,
 * so a full page of it is the page. Null where nothing tells which month that is.
 */
export function nearest(filter: StoredFilter, { after, order }: Pages, wall_ms: number): StoredFilter | null {
  if (order === 'asc') {
    const start = after?.time ?? filter.from;
    if (start === undefined) return null;
    const end = monthOf(Date.parse(start), 1);
    return filter.to !== undefined && Date.parse(filter.to) <= Date.parse(end)
      ? null
      : { ...filter, to: end };
  }
  const newest_ms =
    after === null ? Math.min(wall_ms, Date.parse(filter.to ?? '9999-12-31')) : Date.parse(after.time);
  const start = monthOf(newest_ms, 0);
  return filter.from !== undefined && Date.parse(filter.from) >= Date.parse(start)
    ? null
    : { ...filter, from: start };
}

/**
 * The filter within the present month and the one before it, and what is ahead of the clock. Null where that would leave
 * nothing out, or all.
 */
export function newestMonths(
  filter: StoredFilter,
  wall_ms: number,
): (StoredFilter & { from: string }) | null {
  const since = monthOf(wall_ms, -1);
  const since_ms = Date.parse(since);
  if (filter.from !== undefined && Date.parse(filter.from) >= since_ms) return null;
  if (filter.to !== undefined && Date.parse(filter.to) <= since_ms) return null;
  return { ...filter, from: since };
}

/** Where the month of an instant begins, or one some months later; in UTC, as the partitions. */
function monthOf(ms: number, later: number): string {
  const instant = new Date(ms);
  return new Date(Date.UTC(instant.getUTCFullYear(), instant.getUTCMonth() + later)).toISOString();
}

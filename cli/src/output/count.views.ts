import type { EventCounts } from '#libs/contracts';
import type { Printer } from './printer.js';
import { column, numbers } from './views.js';

const bar_chars_max = 40;
const line_chars_max = 48;
const steps = '▁▂▃▄▅▆▇█';
const bucket_ms = { minute: 60_000, hour: 3_600_000, day: 86_400_000 } as const;

/** Buckets with bars; or, where it was counted by group, groups with a line over time. */
export function showCounts(printer: Printer, counts: EventCounts, by: string | undefined): void {
  if (counts.total === 0) printer.line('No events.');
  else if (by === undefined) showBuckets(printer, counts);
  else showGroups(printer, counts, by);
  printer.line(`${counts.total} events from ${minute(counts.from)} to ${minute(counts.to)}.`);
}

/** `2026-01-31T12:00:00.000Z` -> `2026-01-31 12:00` */
const minute = (time: string): string => time.slice(0, 16).replace('T', ' ');

function showBuckets(printer: Printer, { bucket, from, counts }: EventCounts): void {
  const most = Math.max(...counts);
  printer.table(
    [column('from (UTC)'), numbers('events'), column('')],
    counts.map((count, index) => [
      minute(new Date(Date.parse(from) + index * bucket_ms[bucket]).toISOString()),
      count,
      '█'.repeat(Math.ceil((count / most) * bar_chars_max)),
    ]),
  );
}

function showGroups(printer: Printer, { groups, others, total }: EventCounts, by: string): void {
  const share = (count: number) => `${((100 * count) / total).toFixed(1)} %`;
  const rows = groups.map(({ group, total: count, counts }) => [group, count, share(count), lineOf(counts)]);
  const rest = `${others.groups} others`;
  printer.table(
    [column(by), numbers('events'), numbers('share'), column('over time')],
    others.groups === 0 ? rows : [...rows, [rest, others.total, share(others.total), '']],
  );
}

/** A character for each bucket, or for some of them together; a dot where nothing is. */
function lineOf(counts: readonly number[]): string {
  const width = Math.ceil(counts.length / line_chars_max);
  const sums = Array.from({ length: Math.ceil(counts.length / width) }, (_, index) =>
    counts.slice(index * width, (index + 1) * width).reduce((sum, count) => sum + count, 0),
  );
  const most = Math.max(...sums);
  return sums
    .map((sum) => (sum === 0 ? '·' : (steps[Math.ceil((sum / most) * steps.length) - 1] ?? '')))
    .join('');
}

import { CLOCK, type Clock } from '#libs/clock';
import { limits, type EventCount, type EventCounts } from '#libs/contracts';
import { Inject, Injectable } from '@nestjs/common';
import { refusal } from '../errors.js';
import { People } from './people.js';
import type { StoredFilter } from './stored.query.js';
import { QueryRepository, type CountRow } from './query.repository.js';

const minute_ms = 60_000;
const bucket_ms = { minute: minute_ms, hour: 60 * minute_ms, day: 24 * 60 * minute_ms } as const;
/** Buckets back from `to` where no `from` is given. */
const buckets_default = { minute: 60, hour: 48, day: 30 } as const;
/** Counts at a time: each may read a large part of the log, and pages are not to wait for them. */
const running_max = 2;

/** Whole buckets. */
interface Range {
  readonly from_ms: number;
  readonly buckets: number;
  readonly width_ms: number;
}

/** Counts events over time. */
@Injectable()
export class CountService {
  private running = 0;

  constructor(
    private readonly repository: QueryRepository,
    private readonly people: People,
    @Inject(CLOCK) private readonly clock: Clock,
  ) {}

  /** In whole buckets. Throws `invalid_request` for too many of them, `unavailable` while others count, `query_too_costly`. */
  async count(request: EventCount): Promise<EventCounts> {
    const { bucket, by, groups, from, to, ...what } = request;
    const range = rangeOf(bucket, from, to, this.clock.wallMs());
    const filter = await this.people.stored({ ...what, from: startOf(range, 0), to: endOf(range) });
    const rows = filter === null ? [] : await this.rows(filter, range, by, groups);
    return { bucket, from: startOf(range, 0), to: endOf(range), ...summary(rows, range, by !== undefined) };
  }

  private async rows(
    filter: StoredFilter,
    range: Range,
    by: EventCount['by'],
    groups: number,
  ): Promise<CountRow[]> {
    if (this.running >= running_max) throw refusal.othersCount();
    this.running += 1;
    try {
      return await this.repository.count(filter, range.width_ms / 1000, by, groups);
    } finally {
      this.running -= 1;
    }
  }
}

function rangeOf(
  bucket: EventCount['bucket'],
  from: string | undefined,
  to: string | undefined,
  wall_ms: number,
): Range {
  if (from !== undefined && to !== undefined && Date.parse(from) >= Date.parse(to))
    throw refusal.emptyRange();
  const width_ms = bucket_ms[bucket];
  const end = Math.ceil((to === undefined ? wall_ms + 1 : Date.parse(to)) / width_ms);
  const start = from === undefined ? end - buckets_default[bucket] : Math.floor(Date.parse(from) / width_ms);
  const buckets = end - start;
  if (buckets < 1) throw refusal.emptyRange();
  if (buckets > limits.count_buckets_max) throw refusal.tooManyBuckets(buckets);
  return { from_ms: start * width_ms, buckets, width_ms };
}

const startOf = ({ from_ms, width_ms }: Range, index: number): string =>
  new Date(from_ms + index * width_ms).toISOString();
const endOf = (range: Range): string => startOf(range, range.buckets);

function summary(
  rows: readonly CountRow[],
  { from_ms, buckets, width_ms }: Range,
  isGrouped: boolean,
): Pick<EventCounts, 'total' | 'counts' | 'groups' | 'others'> {
  const none = () => Array.from({ length: buckets }, () => 0);
  const all = none();
  const byGroup = new Map<string, number[]>();
  for (const { at, group, events } of rows) {
    const index = (Number(at) * 1000 - from_ms) / width_ms;
    const add = (counts: number[]) => (counts[index] = (counts[index] ?? 0) + Number(events));
    add(all);
    if (group === null || !isGrouped) continue;
    const counts = byGroup.get(group) ?? none();
    byGroup.set(group, counts);
    add(counts);
  }
  const total = sum(all);
  const groups = [...byGroup]
    .map(([group, counts]) => ({ group, total: sum(counts), counts }))
    .sort((a, b) => b.total - a.total || (a.group < b.group ? -1 : 1));
  if (!isGrouped) return { total, counts: all, groups: [], others: { groups: 0, total: 0 } };
  const shown = sum(groups.map((group) => group.total));
  const others = { groups: Number(rows[0]?.groups ?? 0) - groups.length, total: total - shown };
  return { total, counts: all, groups, others };
}

const sum = (numbers: readonly number[]): number => numbers.reduce((total, number) => total + number, 0);

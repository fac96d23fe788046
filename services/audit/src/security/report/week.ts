const day_ms = 86_400_000;
const week_ms = 7 * day_ms;

/** An ISO week: from Monday, UTC, up to the next Monday, without it. */
export interface WeekRange {
  /** `2026-W47` */
  readonly week: string;
  readonly from: Date;
  readonly to: Date;
}

/** The Monday before or at an instant. 1970 began on a Thursday. */
const mondayOf = (ms: number): number => Math.floor((ms + 3 * day_ms) / week_ms) * week_ms - 3 * day_ms;

/** The week an instant is in. */
export function weekOf(ms: number): WeekRange {
  const from = mondayOf(ms);
  // A week belongs to the year that has its Thursday.
  const year = new Date(from + 3 * day_ms).getUTCFullYear();
  const number = Math.round((from - firstMonday(year)) / week_ms) + 1;
  return {
    week: `${year}-W${String(number).padStart(2, '0')}`,
    from: new Date(from),
    to: new Date(from + week_ms),
  };
}

/** Null for a week that its year does not have. */
export function rangeOf(week: string): WeekRange | null {
  const [, year = '', number = ''] = /^(\d{4})-W(\d{2})$/.exec(week) ?? [];
  const found = weekOf(firstMonday(Number(year)) + (Number(number) - 1) * week_ms);
  return found.week === week ? found : null;
}

/** The last `count` weeks that were over at an instant, the earliest first. */
export function weeksBefore(ms: number, count: number): WeekRange[] {
  return Array.from({ length: count }, (_, n) => weekOf(mondayOf(ms) - (count - n) * week_ms));
}

/** Of the week with the fourth of January. */
const firstMonday = (year: number): number => mondayOf(Date.UTC(year, 0, 4));

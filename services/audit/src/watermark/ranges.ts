import type { SequenceRange } from '#libs/contracts';

/** Sequences, first and last included, in order, without overlap: what every function here takes and gives. */
export type Ranges = readonly SequenceRange[];

/** Of the text of a Postgres `int8multirange`, such as `{[1,5),[7,9)}`. */
export function parseMultirange(text: string): SequenceRange[] {
  return [...text.matchAll(/\[(\d+),(\d+)\)/g)].map(([, from, end]) => [Number(from), Number(end) - 1]);
}

export const toMultirange = (ranges: Ranges): string =>
  `{${ranges.map(([from, to]) => `[${from},${to}]`).join(',')}}`;

/** Brings any ranges into order, touching and overlapping ones as one. */
export function normalised(ranges: Ranges): SequenceRange[] {
  const merged: SequenceRange[] = [];
  for (const [from, to] of ranges.toSorted(([one], [other]) => one - other)) {
    const last = merged.at(-1);
    if (last !== undefined && from <= last[1] + 1) last[1] = Math.max(last[1], to);
    else merged.push([from, to]);
  }
  return merged;
}

/** What of `ranges` is not in `others`. */
export function without(ranges: Ranges, others: Ranges): SequenceRange[] {
  const left: SequenceRange[] = [];
  for (const [first, last] of ranges) {
    let from = first;
    for (const [otherFrom, otherTo] of others) {
      if (otherTo < from) continue;
      if (otherFrom > last) break;
      if (otherFrom > from) left.push([from, otherFrom - 1]);
      from = otherTo + 1;
    }
    if (from <= last) left.push([from, last]);
  }
  return left;
}

/** What is in both. */
export const within = (ranges: Ranges, others: Ranges): SequenceRange[] =>
  without(ranges, without(ranges, others));

/** Everything up to here is in the ranges; 0 when the first is not. */
export function upToOf([first]: Ranges): number {
  return first?.[0] === 1 ? first[1] : 0;
}

export const highestOf = (ranges: Ranges): number => ranges.at(-1)?.[1] ?? 0;

export const countOf = (ranges: Ranges): number => ranges.reduce((sum, [from, to]) => sum + to - from + 1, 0);

/** The first of them, within both bounds. */
export function firstOf(ranges: Ranges, ranges_max: number, numbers_max: number): SequenceRange[] {
  let room = numbers_max;
  const first: SequenceRange[] = [];
  for (const [from, to] of ranges.slice(0, ranges_max)) {
    if (room === 0) break;
    const end = Math.min(to, from + room - 1);
    first.push([from, end]);
    room -= end - from + 1;
  }
  return first;
}

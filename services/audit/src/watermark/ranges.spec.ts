import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import type { SequenceRange } from '#libs/contracts';
import {
  countOf,
  firstOf,
  highestOf,
  normalised,
  parseMultirange,
  toMultirange,
  upToOf,
  within,
  without,
} from './ranges.js';

const someRanges = fc
  .array(fc.tuple(fc.integer({ min: 1, max: 60 }), fc.integer({ min: 0, max: 9 })), { maxLength: 8 })
  .map((pairs) => pairs.map(([from, length]): SequenceRange => [from, from + length]));
const numbersOf = (ranges: readonly SequenceRange[]): Set<number> =>
  new Set(ranges.flatMap(([from, to]) => Array.from({ length: to - from + 1 }, (_, n) => from + n)));

const only = (ranges: readonly SequenceRange[], keep: (number: number) => boolean): Set<number> =>
  new Set([...numbersOf(ranges)].filter(keep));

describe('ranges', () => {
  it('are sets of numbers', () => {
    fc.assert(
      fc.property(someRanges, someRanges, (one, other) => {
        const [ones, others] = [normalised(one), normalised(other)];
        expect(numbersOf(ones)).toEqual(numbersOf(one));
        expect(numbersOf(without(ones, others))).toEqual(
          only(ones, (number) => !numbersOf(others).has(number)),
        );
        expect(numbersOf(within(ones, others))).toEqual(
          only(ones, (number) => numbersOf(others).has(number)),
        );
        expect(countOf(ones)).toBe(numbersOf(ones).size);
        expect(highestOf(ones)).toBe(Math.max(0, ...numbersOf(ones)));
      }),
    );
  });

  it('tell up to where all are there', () => {
    expect(upToOf([])).toBe(0);
    expect(upToOf([[2, 9]])).toBe(0);
    expect(upToOf([[1, 9], [11, 12]])).toBe(9); // prettier-ignore
  });

  it('come from Postgres and go there', () => {
    expect(parseMultirange('{}')).toEqual([]);
    expect(parseMultirange('{[1,5),[7,9)}')).toEqual([[1, 4], [7, 8]]); // prettier-ignore
    expect(toMultirange([[1, 4], [7, 8]])).toBe('{[1,4],[7,8]}'); // prettier-ignore
  });

  it('are cut at either bound', () => {
    const ranges: SequenceRange[] = [[1, 4], [7, 8], [10, 20]]; // prettier-ignore
    expect(firstOf(ranges, 2, 100)).toEqual(ranges.slice(0, 2));
    expect(firstOf(ranges, 9, 5)).toEqual([[1, 4], [7, 7]]); // prettier-ignore
    expect(firstOf(ranges, 9, 6)).toEqual([[1, 4], [7, 8]]); // prettier-ignore
  });
});

import { describe, expect, it } from '@jest/globals';
import { balanceOf, type Entry } from './event.balance.js';

const entry = (source: string, events: number, last = events): Entry => ({
  source,
  incarnation: 'i',
  last,
  events,
});
const audited = (source: string, events: number, last = events, distinct = events) => ({
  ...entry(source, events, last),
  distinct,
});
const nothing = { unpublished: 0, missing: [], quarantined: 0 };

describe('balanceOf', () => {
  it('is even when all that was recorded was audited once', () => {
    const balance = balanceOf(
      [entry('/scheduler', 3), entry('/agent/host-a', 2)],
      [audited('/scheduler', 3), audited('/agent/host-a', 2), audited('/gateway', 1)],
      nothing,
    );
    expect(balance).toMatchObject({ recorded: 5, audited: 6, unrecorded: 1, faults: [] });
  });

  it.each([
    ['one less', [audited('/agent/host-a', 1, 1)], '2 recorded, 1 audited'],
    ['none', [], '2 recorded, 0 audited'],
    ['a gap', [audited('/agent/host-a', 2, 3)], '1 of 3 numbers are missing'],
    ['a number twice', [audited('/agent/host-a', 2, 1, 1)], '1 numbers used twice'],
    ['one more', [audited('/agent/host-a', 3)], '2 recorded, 3 audited'],
  ])('tells of %s', (_, there, fault) => {
    expect(balanceOf([entry('/agent/host-a', 2)], there, nothing).faults.join()).toContain(fault);
  });

  it('tells of what nobody recorded, what waits, what is missing and what was no event', () => {
    const { faults } = balanceOf([], [audited('/agent/host-b', 1)], {
      ...{ unpublished: 4, missing: ['scheduler x'], quarantined: 2 },
    });
    expect(faults).toEqual([
      '/agent/host-b i: audited, and its agent does not know of it',
      'never audited: scheduler x',
      '2 messages were no events',
      '4 events are not published',
    ]);
  });
});

import { describe, expect, it } from '@jest/globals';
import { logBalance } from './log.balance.js';

const event = (sequence: number, id = `id-${sequence}`, incarnation = 'one') => ({
  ...{ id, incarnation, sequence },
});
const three = [event(1), event(2), event(3)];

describe('logBalance', () => {
  it('is even when every event is there once, in whatever order', () => {
    expect(logBalance('/scheduler', three, three.toReversed())).toEqual({
      ...{ source: '/scheduler', written: 3, recorded: 3, duplicates: 0, incarnations: 1, faults: [] },
    });
  });

  it.each([
    ['an event that is not there', [event(1), event(3)], '1 never recorded: id-2'],
    ['the hole it leaves', [event(1), event(3)], '1 of 3 numbers of one are missing'],
    ['an event that is there twice', [...three, event(2)], '1 recorded twice: id-2'],
    ['one that nobody wrote', [...three, event(4, 'foreign')], '1 recorded and never written: foreign'],
    ['another number', [event(1), event(2), event(4, 'id-3')], 'id-3 was written as 3 and recorded as 4'],
    [
      'another incarnation',
      [event(1), event(2), event(3, 'id-3', 'two')],
      'id-3 was written as 3 and recorded as 3',
    ],
  ])('tells of %s', (_, logged, fault) => {
    expect(logBalance('/scheduler', three, logged).faults.join('; ')).toContain(fault);
  });

  it('names a few of many', () => {
    const many = Array.from({ length: 9 }, (_, n) => event(n + 1));
    const [fault] = logBalance('/scheduler', many, []).faults;
    expect(fault).toBe('/scheduler: 9 never recorded: id-1, id-2, id-3, id-4, id-5, ...');
  });
});

import { describe, expect, it } from '@jest/globals';
import { type Order, OrderOracle } from './order.oracle.js';

const a = 'aaaaaaaaaaaaaaaa';
const b = 'bbbbbbbbbbbbbbbb';
const order = (epoch: number, instance = a, allocation = `allocation-${epoch}`, account = 'acc'): Order => ({
  ...{ account, epoch, allocation, instance },
  order: 1,
  boottimeMs: 0,
});
const kinds = (orders: readonly Order[]): (string | null)[] => {
  const oracle = new OrderOracle();
  return orders.map((one, at_ms) => oracle.record(one, at_ms)?.kind ?? null);
};

describe('OrderOracle', () => {
  it('finds an order of an epoch that a later one has followed', () => {
    expect(kinds([order(1), order(2), order(1)])).toEqual([null, null, 'older-epoch']);
    expect(kinds([order(1), order(3), order(2)])).toEqual([null, null, 'older-epoch']);
  });

  it('finds two allocations under one epoch', () => {
    expect(kinds([order(1, a, 'one'), order(1, b, 'other')])).toEqual([null, 'two-allocations']);
  });

  it('finds instances of one epoch that trade in turns, and none when one follows the other', () => {
    expect(kinds([order(1, a), order(1, b), order(1, b)])).toEqual([null, null, null]);
    expect(kinds([order(1, a), order(1, b), order(1, a)])).toEqual([null, null, 'instances-interleave']);
  });

  it('sees nothing in accounts that trade beside each other, nor in an epoch left out', () => {
    expect(kinds([order(5, a, 'x', 'one'), order(1, b, 'y', 'other'), order(5, a, 'x', 'one')])).toEqual([
      null,
      null,
      null,
    ]);
    expect(kinds([order(1), order(4), order(4)])).toEqual([null, null, null]);
  });

  it('goes on after an overlap, counts all, and remembers who was there before', () => {
    const oracle = new OrderOracle();
    oracle.record(order(1), 10);
    oracle.record(order(2, b), 20);
    for (let n = 0; n < 1500; n += 1) oracle.record(order(1), 30 + n);
    expect(oracle.overlapsTotal).toBe(1500);
    expect(oracle.overlaps).toHaveLength(1000);
    expect(oracle.overlaps[0]).toMatchObject({ at_ms: 30, after: { epoch: 2, instance: b, at_ms: 20 } });
    expect(oracle.last('acc')).toMatchObject({ epoch: 2, at_ms: 20 });
  });

  it('measures from the last order of an epoch to the first of the next', () => {
    const oracle = new OrderOracle();
    for (const [epoch, at_ms] of [
      [1, 0],
      [1, 100],
      [2, 4100],
    ] as const)
      oracle.record(order(epoch), at_ms);
    expect(oracle.handovers).toEqual([{ account: 'acc', from: 1, to: 2, gap_ms: 4000 }]);
    expect([oracle.ordersTotal, oracle.epochsTotal]).toEqual([3, 2]);
  });
});

import { describe, expect, it } from '@jest/globals';
import { VirtualClock } from '#libs/testing';
import { RefusalTally } from './refusal-tally.js';

const start_ms = Date.UTC(2026, 0, 1);
const made = () => {
  const clock = new VirtualClock(start_ms);
  return { clock, tally: new RefusalTally(clock, 4) };
};

describe('the tally of refusals', () => {
  it('lets so many a second be recorded and counts the rest by code and asker', async () => {
    const { clock, tally } = made();
    const outcomes = Array.from({ length: 6 }, () => tally.admit('change', 'forbidden', 'user:eve'));
    expect(outcomes).toEqual([true, true, true, true, false, false]);
    await clock.advance(10);
    expect(tally.admit('change', 'invalid_request', 'user:mallory')).toBe(false);
    expect(tally.suppressed).toBe(3);
    expect(tally.take()).toEqual({
      count: 3,
      codes: { forbidden: 2, invalid_request: 1 },
      askers: 2,
      from: new Date(start_ms).toISOString(),
      to: new Date(start_ms + 10).toISOString(),
    });
    expect(tally.take()).toBeNull();
    await clock.advance(1000);
    expect(tally.admit('change', 'forbidden', 'user:eve')).toBe(true);
  });

  it('lets refused reads take no room of changes', () => {
    const { tally } = made();
    expect(Array.from({ length: 3 }, () => tally.admit('read', 'bot_not_found', 'user:eve'))).toEqual([
      true,
      false,
      false,
    ]);
    expect(tally.admit('change', 'forbidden', 'user:ada')).toBe(true);
  });

  it('counts again what could not be recorded', () => {
    const { tally } = made();
    for (let n = 0; n < 7; n += 1) tally.admit('change', 'forbidden', 'user:eve');
    const taken = tally.take();
    if (taken === null) throw new Error('nothing was counted');
    tally.giveBack(taken);
    tally.admit('change', 'timeout', 'user:eve');
    expect(tally.take()).toMatchObject({ count: 4, codes: { forbidden: 3, timeout: 1 } });
  });
});

import { describe, expect, it } from '@jest/globals';
import { kills_min, planKills, targets } from './kill.planner.js';

const seeds = Array.from({ length: 50 }, (_, seed) => seed);

describe('planKills', () => {
  it('draws the same from the same seed, and something else from another', () => {
    expect(planKills({ seed: 7, kills: 20 })).toEqual(planKills({ seed: 7, kills: 20 }));
    expect(planKills({ seed: 7, kills: 20 })).not.toEqual(planKills({ seed: 8, kills: 20 }));
  });

  it.each([kills_min, 4, 20])('makes %i kills, one after the other, each target among them', (kills) => {
    for (const seed of seeds) {
      const plan = planKills({ seed, kills });
      const killed = plan.flatMap((one) => one.targets);
      expect(killed).toHaveLength(kills);
      expect(new Set(killed)).toEqual(new Set(targets));
      expect(plan.map(({ at }) => at)).toEqual(plan.map(({ at }) => at).toSorted((a, b) => a - b));
      expect(plan.every(({ at, down_ms }) => at >= 0 && at < 1 && down_ms >= 200)).toBe(true);
    }
  });

  it('loses the store once, while NATS and the audit service are down', () => {
    for (const seed of seeds) {
      const lost = planKills({ seed, kills: 20 }).filter(({ losesStore }) => losesStore);
      expect(lost.map((one) => one.targets)).toEqual([['audit', 'nats']]);
    }
  });

  it('spreads them over the whole run', () => {
    for (const seed of seeds) {
      const plan = planKills({ seed, kills: 20 });
      for (const [time, { at }] of plan.entries()) expect(Math.floor(at * plan.length)).toBe(time);
    }
  });

  it('refuses fewer kills than there is something to kill', () => {
    expect(() => planKills({ seed: 1, kills: 2 })).toThrow(RangeError);
  });
});

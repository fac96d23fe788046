import { describe, expect, it } from '@jest/globals';
import { faultKinds, faultNames } from './fault.catalogue.js';
import { FaultPlanner, type PlannedFault, type Round } from './fault.planner.js';
import { Random } from './random.js';

const options = { seed: 7, hosts: 3, bots: 5, ttl_ms: 5000, pairs: 0.6 };
const rounds = (seed: number, count: number): Round[] => {
  const planner = new FaultPlanner({ ...options, seed });
  return Array.from({ length: count }, () => planner.next());
};
const faultsOf = (list: readonly Round[]): PlannedFault[] => list.flatMap((round) => round.faults);

describe('FaultPlanner', () => {
  it('gives the same rounds for the same seed and others for another', () => {
    expect(rounds(7, 50)).toEqual(rounds(7, 50));
    expect(rounds(8, 50)).not.toEqual(rounds(7, 50));
  });

  it('meets every kind before it meets one again by chance', () => {
    const first = faultsOf(rounds(3, faultNames.length)).slice(0, faultNames.length);
    expect(new Set(first.map(({ name }) => name)).size).toBe(faultNames.length);
  });

  it('breaks by one or two faults at once, the second while the first lasts and never of the same part', () => {
    const list = rounds(11, 400);
    const pairs = list.filter(({ faults }) => faults.length === 2);
    expect(list.every(({ faults }) => faults.length === 1 || faults.length === 2)).toBe(true);
    expect(pairs.length).toBeGreaterThan(80);
    for (const { faults } of pairs) {
      const [one, other] = faults as [PlannedFault, PlannedFault];
      expect(faultKinds[one.name].part).not.toBe(faultKinds[other.name].part);
      expect(other.delay_ms).toBeLessThanOrEqual(one.duration_ms);
    }
  });

  it('takes agent and supervisor of the same bot away at once, now and then', () => {
    const both = rounds(5, 2000).filter(
      ({ faults: [one, other] }) =>
        one?.bot != null &&
        other?.host != null &&
        'hostOfBot' in other.host &&
        other.host.hostOfBot === one.bot,
    );
    expect(both.map(({ faults }) => faults.map(({ name }) => name).join('+'))).toEqual(
      expect.arrayContaining([
        'stop-supervisor+kill-agent',
        'stop-supervisor+cut-nats',
        'pause-container+stop-agent',
      ]),
    );
  });

  it('draws by weight, targets within what there is, and lasts shorter, about and longer than a lease', () => {
    const list = faultsOf(rounds(1, 4000));
    const count = (name: string) => list.filter((fault) => fault.name === name).length;
    expect(count('cut-nats') / count('kill-audit')).toBeGreaterThan(3);
    for (const { name, host, bot, span, duration_ms } of list) {
      const { scope } = faultKinds[name];
      expect([host !== null, bot !== null]).toEqual([scope === 'host', scope === 'bot']);
      if (host !== null) expect('host' in host ? host.host : host.hostOfBot).toBeLessThan(5);
      if (bot !== null) expect(bot).toBeLessThan(5);
      if (span === 'shorter') expect(duration_ms).toBeLessThan(options.ttl_ms);
      if (span === 'longer') expect(duration_ms).toBeGreaterThan(options.ttl_ms);
    }
    expect(new Set(list.map(({ span }) => span))).toEqual(new Set([null, 'shorter', 'about', 'longer']));
    for (const { name, span } of list) expect(span !== null).toBe(faultKinds[name].lasts);
    expect(new Set(list.map(({ mode }) => mode)).size).toBe(3);
  });
});

describe('Random', () => {
  it('is even', () => {
    const random = new Random(42);
    const counts = [0, 0, 0, 0];
    for (let n = 0; n < 40_000; n += 1) counts[random.below(4)] = (counts[random.below(4)] ?? 0) + 1;
    for (const count of counts) expect(Math.abs(count - 10_000)).toBeLessThan(600);
  });

  it('does not choose from nothing', () => {
    expect(() => new Random(1).pick([])).toThrow('nothing to choose');
  });
});

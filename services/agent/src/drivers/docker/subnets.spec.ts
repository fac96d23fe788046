import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { formatSubnet, freeSubnet, overlap, parseSubnet, slots, type Subnet } from './subnets.js';

function subnet(text: string): Subnet {
  const parsed = parseSubnet(text);
  if (parsed === null) throw new Error(`${text} is no subnet`);
  return parsed;
}

describe('subnets', () => {
  it.each([
    ['10.201.0.0/16', '10.201.0.0/16'],
    ['10.201.0.13/29', '10.201.0.8/29'],
    ['255.255.255.255/32', '255.255.255.255/32'],
    ['0.0.0.0/0', '0.0.0.0/0'],
  ])('reads %s', (text, written) => {
    expect(formatSubnet(subnet(text))).toBe(written);
  });

  it.each(['', '10.0.0.0', '10.0.0/8', '10.0.0.256/24', '10.0.0.0/33', 'fd00::/8', ' 10.0.0.0/8'])(
    'does not read "%s"',
    (text) => {
      expect(parseSubnet(text)).toBeNull();
    },
  );

  it('counts the /29 of a pool', () => {
    expect(['10.0.0.0/16', '10.0.0.0/28', '10.0.0.0/29', '10.0.0.0/30'].map((p) => slots(subnet(p)))).toEqual(
      [8192, 2, 1, 0],
    );
  });

  it('gives out every /29 of a pool once, then none', () => {
    const pool = subnet('10.201.3.0/26');
    const taken: Subnet[] = [subnet('192.168.0.0/16'), subnet('10.201.3.16/28')];
    const given: string[] = [];
    for (let seed = 4_000_000_000; ; seed -= 7_777_777) {
      const free = freeSubnet(pool, taken, seed);
      if (free === null) break;
      taken.push(free);
      given.push(formatSubnet(free));
    }
    expect(given.sort()).toEqual(
      ['0', '8', '32', '40', '48', '56'].map((last) => `10.201.3.${last}/29`).sort(),
    );
  });

  it('gives what lies in the pool and meets nothing taken, whatever is taken', () => {
    const anySubnet = fc.record({ address: fc.nat(65_535), prefix: fc.integer({ min: 14, max: 32 }) });
    fc.assert(
      fc.property(fc.array(anySubnet, { maxLength: 30 }), fc.nat(2 ** 32 - 1), (others, seed) => {
        const pool = subnet('10.201.0.0/20');
        const taken = others.map(({ address, prefix }) =>
          subnet(`10.201.${address >> 8}.${address & 255}/${prefix}`),
        );
        const free = freeSubnet(pool, taken, seed);
        if (free === null) return taken.some((each) => overlap(each, pool));
        return overlap(free, pool) && free.prefix === 29 && taken.every((each) => !overlap(each, free));
      }),
    );
  });
});

/** IPv4 arithmetic for the networks of allocations. Addresses are unsigned 32-bit numbers. */

export interface Subnet {
  readonly base: number;
  readonly prefix: number;
}

/** Eight addresses: network, broadcast, gateway and room for the bot. The smallest that Docker's IPAM can use well. */
export const ALLOCATION_PREFIX = 29;

const size = (prefix: number): number => 2 ** (32 - prefix);

/** Reads `a.b.c.d/n`; null for anything else, IPv6 included. Host bits are cleared. */
export function parseSubnet(text: string): Subnet | null {
  const match = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})\/(\d{1,2})$/.exec(text);
  if (match === null) return null;
  const [a = NaN, b = NaN, c = NaN, d = NaN, prefix = NaN] = match.slice(1).map(Number);
  if ([a, b, c, d].some((octet) => octet > 255) || prefix > 32) return null;
  const address = a * 2 ** 24 + b * 2 ** 16 + c * 2 ** 8 + d;
  return { base: address - (address % size(prefix)), prefix };
}

export function formatSubnet({ base, prefix }: Subnet): string {
  const octets = [24, 16, 8, 0].map((shift) => Math.floor(base / 2 ** shift) % 256);
  return `${octets.join('.')}/${prefix}`;
}

export function overlap(a: Subnet, b: Subnet): boolean {
  return a.base < b.base + size(b.prefix) && b.base < a.base + size(a.prefix);
}

/** How many allocations a pool has networks for. */
export function slots(pool: Subnet): number {
  return pool.prefix > ALLOCATION_PREFIX ? 0 : 2 ** (ALLOCATION_PREFIX - pool.prefix);
}

/**
 * The first /29 of the pool that meets none of `taken`, looked for from a slot that `seed` chooses and round the end.
 * Different seeds start far apart, so that agents on one engine seldom reach for the same one.
 */
export function freeSubnet(pool: Subnet, taken: readonly Subnet[], seed: number): Subnet | null {
  const count = slots(pool);
  const inPool = taken.filter((subnet) => overlap(subnet, pool));
  const slotSize = size(ALLOCATION_PREFIX);
  const used = new Set<number>();
  for (const subnet of inPool) {
    const first = Math.max(0, Math.floor((subnet.base - pool.base) / slotSize));
    const last = Math.min(
      count - 1,
      Math.floor((subnet.base + size(subnet.prefix) - 1 - pool.base) / slotSize),
    );
    for (let slot = first; slot <= last; slot += 1) used.add(slot);
  }
  for (let step = 0; step < count; step += 1) {
    const slot = (seed + step) % count;
    if (!used.has(slot)) return { base: pool.base + slot * slotSize, prefix: ALLOCATION_PREFIX };
  }
  return null;
}

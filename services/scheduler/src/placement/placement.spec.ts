import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { FleetSnapshot, type HostFacts, type PlacementRequest } from './fleet-snapshot.js';
import { refusal } from './placement.filter.js';
import { place, placeAll } from './placement.js';

const aHost = (over: Partial<HostFacts> = {}): HostFacts => ({
  name: 'host-a',
  state: 'ready',
  heard: true,
  runtimes: ['paper'],
  labels: {},
  capacity: { cpuMillis: 1000, memoryMiB: 1024, bots: 10 },
  reserved: { cpuMillis: 0, memoryMiB: 0, bots: 0 },
  tenants: new Map(),
  ...over,
});
const aRequest = (over: Partial<PlacementRequest> = {}): PlacementRequest => ({
  bot: 'bot-a',
  tenant: 'acme',
  runtime: 'paper',
  version: null,
  resources: { cpuMillis: 100, memoryMiB: 128 },
  constraints: [],
  antiAffinity: 'none',
  ...over,
});
const placeOn = (hosts: HostFacts[], request = aRequest(), strategy: 'spread' | 'binpack' = 'spread') =>
  place(new FleetSnapshot(hosts), request, strategy);

describe('filters', () => {
  it.each<[string, Partial<HostFacts>, Partial<PlacementRequest>, string]>([
    ['a draining host', { state: 'draining' }, {}, 'draining'],
    ['a host that is down', { state: 'down' }, {}, 'down'],
    ['a silent host', { heard: false }, {}, 'not heard of lately'],
    ['a host without the runtime', { runtimes: [] }, {}, 'without the runtime paper'],
    [
      'a host without the version',
      { runtimes: ['paper', 'paper@v1'] },
      { version: 'v2' },
      'without the runtime paper@v2',
    ],
    [
      'a host short of a millicore',
      { reserved: { cpuMillis: 901, memoryMiB: 0, bots: 0 } },
      {},
      'without 100 millicores free',
    ],
    [
      'a host short of a MiB',
      { reserved: { cpuMillis: 0, memoryMiB: 897, bots: 0 } },
      {},
      'without 128 MiB free',
    ],
    ['a host with all its bots', { reserved: { cpuMillis: 0, memoryMiB: 0, bots: 10 } }, {}, 'full of bots'],
    [
      'a host without the label',
      {},
      { constraints: [{ label: 'zone', operator: 'in', values: ['fr', 'de'] }] },
      'not meeting zone in [fr, de]',
    ],
    [
      'a host with a label it must not have',
      { labels: { zone: 'fr' } },
      { constraints: [{ label: 'zone', operator: 'not-in', values: ['fr'] }] },
      'not meeting zone not-in [fr]',
    ],
    [
      'a host without a label that must exist',
      {},
      { constraints: [{ label: 'gpu', operator: 'exists', values: [] }] },
      'not meeting gpu exists',
    ],
    [
      'a host that has a bot of a tenant that wants its bots apart',
      { tenants: new Map([['acme', 1]]) },
      { antiAffinity: 'require' },
      'already running a bot of acme',
    ],
  ])('refuse %s', (_name, host, request, reason) => {
    expect(refusal(aHost(host), aRequest(request))).toBe(reason);
  });

  it('take the last room there is', () => {
    const host = aHost({ reserved: { cpuMillis: 900, memoryMiB: 896, bots: 9 } });
    expect(refusal(host, aRequest())).toBeNull();
  });

  it('take labels literally, not what objects inherit', () => {
    const request = aRequest({ constraints: [{ label: 'constructor', operator: 'exists', values: [] }] });
    expect(refusal(aHost(), request)).toBe('not meeting constructor exists');
  });

  it('count bots of a tenant of any name', () => {
    const request = aRequest({ tenant: 'constructor', antiAffinity: 'require' });
    const snapshot = new FleetSnapshot([aHost()]);
    expect(place(snapshot, request, 'spread')).toEqual({ host: 'host-a' });
    snapshot.reserve('host-a', request);
    expect(place(snapshot, request, 'spread')).toEqual({
      host: null,
      reason: '1 host: 1 already running a bot of constructor',
    });
  });

  it('take a host that meets every constraint', () => {
    const host = aHost({ labels: { zone: 'fr', disk: 'ssd' } });
    const request = aRequest({
      constraints: [
        { label: 'zone', operator: 'in', values: ['fr'] },
        { label: 'disk', operator: 'exists', values: [] },
        { label: 'zone', operator: 'not-in', values: ['us'] },
      ],
    });
    expect(refusal(host, request)).toBeNull();
  });
});

describe('place', () => {
  const empty = aHost({ name: 'host-b' });
  const busy = aHost({ name: 'host-a', reserved: { cpuMillis: 500, memoryMiB: 512, bots: 5 } });

  it('spreads to the emptiest', () => expect(placeOn([busy, empty])).toEqual({ host: 'host-b' }));
  it('packs on the fullest', () =>
    expect(placeOn([busy, empty], aRequest(), 'binpack')).toEqual({ host: 'host-a' }));
  it('breaks a tie by name', () =>
    expect(placeOn([empty, aHost({ name: 'host-a' })])).toEqual({ host: 'host-a' }));
  it('prefers a host without the tenant, even a fuller one, but takes the other when it must', () => {
    const withTenant = { ...empty, tenants: new Map([['acme', 1]]) };
    const request = aRequest({ antiAffinity: 'prefer' });
    expect(placeOn([busy, withTenant], request)).toEqual({ host: 'host-a' });
    expect(placeOn([withTenant], request)).toEqual({ host: 'host-b' });
  });
  it('does not choose the host that is to be left', () => {
    const snapshot = new FleetSnapshot([empty]);
    expect(place(snapshot, aRequest(), 'spread', ['host-b'])).toEqual({
      host: null,
      reason: 'There is no host.',
    });
  });
  it('counts the reasons when no host fits', () => {
    const full = aHost({ name: 'c', reserved: { cpuMillis: 0, memoryMiB: 1000, bots: 1 } });
    const drained = (name: string) => aHost({ name, state: 'draining' });
    expect(placeOn([full, drained('a'), drained('b')])).toEqual({
      host: null,
      reason: '3 hosts: 2 draining, 1 without 128 MiB free',
    });
    expect(placeOn([])).toEqual({ host: null, reason: 'There is no host.' });
  });
});

const labels = fc.dictionary(fc.constantFrom('zone', 'disk'), fc.constantFrom('a', 'b'), { maxKeys: 2 });
const hostFacts = fc.record({
  state: fc.constantFrom('ready' as const, 'ready' as const, 'draining' as const, 'down' as const),
  heard: fc.boolean(),
  runtimes: fc.subarray(['paper', 'paper@v2', 'mt5']),
  labels,
  capacity: fc.record({
    cpuMillis: fc.integer({ min: 0, max: 1000 }),
    memoryMiB: fc.integer({ min: 0, max: 2048 }),
    bots: fc.integer({ min: 0, max: 8 }),
  }),
});
const fleet = fc
  .array(hostFacts, { maxLength: 8 })
  .map((hosts) => hosts.map((host, i) => aHost({ ...host, name: `host-${i}` })));
const requests = fc
  .array(
    fc.record({
      tenant: fc.constantFrom('acme', 'globex'),
      runtime: fc.constantFrom('paper' as const, 'mt5' as const),
      version: fc.constantFrom(null, 'v2'),
      resources: fc.record({
        cpuMillis: fc.integer({ min: 10, max: 400 }),
        memoryMiB: fc.integer({ min: 32, max: 512 }),
      }),
      constraints: fc.array(
        fc.record({
          label: fc.constantFrom('zone', 'disk'),
          operator: fc.constantFrom('in' as const, 'not-in' as const, 'exists' as const),
          values: fc.subarray(['a', 'b']),
        }),
        { maxLength: 2 },
      ),
      antiAffinity: fc.constantFrom('none' as const, 'prefer' as const, 'require' as const),
    }),
    { maxLength: 40 },
  )
  .map((all) => all.map((request, i) => ({ ...request, bot: `bot-${i}` })));
const strategy = fc.constantFrom('spread' as const, 'binpack' as const);

describe('placeAll, whatever the fleet', () => {
  it('never passes the capacity of a host', () => {
    fc.assert(
      fc.property(fleet, requests, strategy, (hosts, wanted, how) => {
        const snapshot = new FleetSnapshot(hosts);
        placeAll(snapshot, wanted, how);
        for (const host of snapshot.hosts) {
          expect(host.reserved.cpuMillis).toBeLessThanOrEqual(host.capacity.cpuMillis);
          expect(host.reserved.memoryMiB).toBeLessThanOrEqual(host.capacity.memoryMiB);
          expect(host.reserved.bots).toBeLessThanOrEqual(host.capacity.bots);
        }
      }),
    );
  });

  it('never picks a host that a filter refused at that moment, and refuses only when every host is refused', () => {
    fc.assert(
      fc.property(fleet, requests, strategy, (hosts, wanted, how) => {
        const { placed, refused } = placeAll(new FleetSnapshot(hosts), wanted, how);
        expect(placed.length + refused.length).toBe(wanted.length);
        const replay = new FleetSnapshot(hosts);
        const hostOf = new Map(placed.map(({ request, host }) => [request.bot, host]));
        for (const request of wanted) {
          const chosen = hostOf.get(request.bot);
          if (chosen === undefined) {
            expect(replay.hosts.map((host) => refusal(host, request))).not.toContain(null);
            continue;
          }
          const slot = replay.get(chosen);
          expect(slot === undefined ? 'unknown host' : refusal(slot, request)).toBeNull();
          replay.reserve(chosen, request);
        }
      }),
    );
  });

  it('is deterministic, and does not depend on the order in which hosts are read', () => {
    fc.assert(
      fc.property(fleet, requests, strategy, (hosts, wanted, how) => {
        const once = placeAll(new FleetSnapshot(hosts), wanted, how);
        const again = placeAll(new FleetSnapshot([...hosts].reverse()), wanted, how);
        expect(again).toEqual(once);
      }),
    );
  });

  it('gives room back exactly', () => {
    fc.assert(
      fc.property(fleet, requests, strategy, (hosts, wanted, how) => {
        const snapshot = new FleetSnapshot(hosts);
        const { placed } = placeAll(snapshot, wanted, how);
        for (const { request, host } of placed) snapshot.release(host, request);
        for (const host of snapshot.hosts) {
          expect(host.reserved).toEqual({ cpuMillis: 0, memoryMiB: 0, bots: 0 });
        }
      }),
    );
  });
});

import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { FleetSnapshot, type HostFacts } from '../placement/fleet-snapshot.js';
import { planRebalance, type MovableAllocation } from './rebalance.planner.js';

const limits = { movesMax: 200, tolerancePercent: 10 };

const aMovable = (over: Partial<MovableAllocation> = {}): MovableAllocation => ({
  allocation: `allocation-${over.bot ?? 'bot-a'}`,
  generation: 1,
  host: 'host-a',
  bot: 'bot-a',
  tenant: 'acme',
  runtime: 'paper',
  version: null,
  resources: { cpuMillis: 100, memoryMiB: 100 },
  constraints: [],
  antiAffinity: 'none',
  ...over,
});

/** Hosts that hold just these bots. */
function fleet(hosts: readonly Partial<HostFacts>[], movable: readonly MovableAllocation[]): FleetSnapshot {
  return new FleetSnapshot(
    hosts.map((over, index) => {
      const name = over.name ?? `host-${String.fromCharCode(97 + index)}`;
      const own = movable.filter((one) => one.host === name);
      const sum = (of: 'cpuMillis' | 'memoryMiB') => own.reduce((total, one) => total + one.resources[of], 0);
      const tenants = new Map<string, number>();
      for (const { tenant } of own) tenants.set(tenant, (tenants.get(tenant) ?? 0) + 1);
      return {
        name,
        state: 'ready',
        heard: true,
        runtimes: ['paper'],
        labels: {},
        capacity: { cpuMillis: 1000, memoryMiB: 1000, bots: 100 },
        reserved: { cpuMillis: sum('cpuMillis'), memoryMiB: sum('memoryMiB'), bots: own.length },
        tenants,
        ...over,
      } satisfies HostFacts;
    }),
  );
}
const bots = (count: number, over: Partial<MovableAllocation> = {}): MovableAllocation[] =>
  Array.from({ length: count }, (_, index) =>
    aMovable({ bot: `bot-${over.host ?? 'host-a'}-${index}`, ...over }),
  );

describe('a plan to rebalance', () => {
  it('moves half of what one host has to an empty one, and no more', () => {
    const movable = bots(8);
    const plan = planRebalance(fleet([{}, {}], movable), movable, limits);
    expect(plan.moves.map(({ to }) => to)).toEqual(['host-b', 'host-b', 'host-b', 'host-b']);
    expect(plan.spread).toEqual({ before: 80, after: 0 });
    expect(plan.hosts.map(({ before, after }) => [before, after])).toEqual([
      [80, 40],
      [0, 40],
    ]);
  });

  it('prefers one large bot to many small ones', () => {
    const large = aMovable({ bot: 'large', resources: { cpuMillis: 400, memoryMiB: 100 } });
    const movable = [...bots(4), large];
    expect(planRebalance(fleet([{}, {}], movable), movable, limits).moves.map((m) => m.movable.bot)).toEqual([
      'large',
    ]);
  });

  it('counts load in per cent of capacity, whichever is scarcest', () => {
    const movable = bots(4, { resources: { cpuMillis: 10, memoryMiB: 100 } });
    const big = { capacity: { cpuMillis: 1000, memoryMiB: 10_000, bots: 100 } };
    const plan = planRebalance(fleet([{}, big], movable), movable, limits);
    expect(plan.spread.before).toBe(40);
    expect(plan.moves.length).toBeGreaterThanOrEqual(3);
  });

  it('leaves alone what is within the tolerance', () => {
    const movable = bots(1);
    expect(planRebalance(fleet([{}, {}], movable), movable, limits).moves).toEqual([]);
  });

  it.each<[string, Partial<HostFacts>, Partial<MovableAllocation>]>([
    ['is being drained', { state: 'draining' }, {}],
    ['is not heard of', { heard: false }, {}],
    ['has not the runtime', { runtimes: [] }, {}],
    ['breaks a constraint', {}, { constraints: [{ label: 'zone', operator: 'in', values: ['fr'] }] }],
    [
      'has a bot that must be apart',
      { tenants: new Map([['acme', 1]]), reserved: { cpuMillis: 0, memoryMiB: 0, bots: 0 } },
      { antiAffinity: 'require' },
    ],
  ])('sends nothing to a host that %s', (_, host, bot) => {
    const movable = bots(8, bot);
    expect(planRebalance(fleet([{}, host], movable), movable, limits).moves).toEqual([]);
  });

  it('does not bring bots together that would rather be apart', () => {
    const movable = [
      ...bots(4, { tenant: 'other' }),
      aMovable({ bot: 'shy', antiAffinity: 'prefer', resources: { cpuMillis: 400, memoryMiB: 100 } }),
      aMovable({ bot: 'there', host: 'host-b' }),
    ];
    const plan = planRebalance(fleet([{}, {}], movable), movable, limits);
    expect(plan.moves.map((move) => move.movable.bot)).not.toContain('shy');
    expect(plan.moves.length).toBeGreaterThan(0);
  });

  const someFleet = fc
    .record({
      hosts: fc.array(
        fc.record({
          cpuMillis: fc.integer({ min: 500, max: 4000 }),
          memoryMiB: fc.integer({ min: 500, max: 4000 }),
          bots: fc.integer({ min: 1, max: 30 }),
          ready: fc.boolean(),
        }),
        { minLength: 1, maxLength: 6 },
      ),
      bots: fc.array(
        fc.record({
          host: fc.nat(5),
          cpu: fc.integer({ min: 10, max: 400 }),
          memory: fc.integer({ min: 32, max: 400 }),
          tenant: fc.constantFrom('acme', 'bolt'),
          antiAffinity: fc.constantFrom('none' as const, 'prefer' as const, 'require' as const),
        }),
        { maxLength: 40 },
      ),
      movesMax: fc.integer({ min: 1, max: 30 }),
      tolerancePercent: fc.integer({ min: 1, max: 50 }),
    })
    .map(({ hosts, bots: made, ...asked }) => {
      const movable = made.map((bot, index) =>
        aMovable({
          bot: `bot-${index}`,
          host: `host-${String.fromCharCode(97 + (bot.host % hosts.length))}`,
          tenant: bot.tenant,
          antiAffinity: bot.antiAffinity,
          resources: { cpuMillis: bot.cpu, memoryMiB: bot.memory },
        }),
      );
      const facts = hosts.map(({ ready, ...capacity }) => ({
        capacity,
        state: ready ? ('ready' as const) : ('draining' as const),
      }));
      return { facts, movable, asked };
    });

  it('never overfills a host, moves a bot twice, goes beyond its bound, or makes the fullest fuller', () => {
    fc.assert(
      fc.property(someFleet, ({ facts, movable, asked }) => {
        const plan = planRebalance(fleet(facts, movable), movable, asked);
        expect(plan.moves.length).toBeLessThanOrEqual(asked.movesMax);
        expect(new Set(plan.moves.map((move) => move.movable.bot)).size).toBe(plan.moves.length);
        const top = (of: 'before' | 'after') => Math.max(0, ...plan.hosts.map((host) => host[of]));
        expect(top('after')).toBeLessThanOrEqual(top('before'));
        // All targets are held before anything is freed: what came to a host and what was there must fit.
        const after = fleet(facts, movable);
        for (const { movable: one, to } of plan.moves) {
          expect(to).not.toBe(one.host);
          after.reserve(to, one);
          expect(after.isWithinCapacity(to)).toBe(true);
          expect(after.get(to)?.state).toBe('ready');
          if (one.antiAffinity === 'require') expect(after.get(to)?.tenants.get(one.tenant)).toBe(1);
        }
        for (const { movable: one } of plan.moves) expect(after.get(one.host)?.state).toBe('ready');
      }),
      { numRuns: 500 },
    );
  });

  it('stops for a reason: it is level enough, it may not move more, or no single move would help', () => {
    fc.assert(
      fc.property(someFleet, ({ facts, movable, asked }) => {
        const free = movable.map((one) => ({ ...one, antiAffinity: 'none' as const }));
        const plan = planRebalance(fleet(facts, free), free, asked);
        if (plan.moves.length === asked.movesMax || plan.spread.after <= asked.tolerancePercent + 0.1) return;
        const moved = new Map(plan.moves.map((move) => [move.movable.bot, move.to]));
        const settled = free.map((one) => ({ ...one, host: moved.get(one.bot) ?? one.host }));
        const left = settled.filter((one) => !moved.has(one.bot));
        // Held room stays held in the plan; without it, only what it freed may give one more move.
        const held = fleet(facts, free);
        for (const { movable: one, to } of plan.moves) held.reserve(to, one);
        const again = planRebalance(fleet(facts, settled), left, asked);
        for (const { movable: one, to } of again.moves.slice(0, 1)) {
          held.reserve(to, one);
          expect(held.isWithinCapacity(to)).toBe(false);
        }
      }),
      { numRuns: 300 },
    );
  });

  it('is the same for the same fleet, in whatever order its bots are read', () => {
    fc.assert(
      fc.property(someFleet, ({ facts, movable, asked }) => {
        const of = (order: readonly MovableAllocation[]) =>
          planRebalance(fleet(facts, order), order, asked).moves.map(
            ({ movable: { bot }, to }) => `${bot} ${to}`,
          );
        expect(of([...movable].reverse())).toEqual(of(movable));
      }),
      { numRuns: 50 },
    );
  });
});

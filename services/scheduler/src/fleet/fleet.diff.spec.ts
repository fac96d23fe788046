import { describe, expect, it } from '@jest/globals';
import { Manifest, ProblemError } from '#libs/contracts';
import fc from 'fast-check';
import { diffFleet, planVersion, type FleetChange } from './fleet.diff.js';
import { no_use } from '../tenants/quota.rule.js';
import type { AccountNow, BotNow, FleetSnapshot, TenantNow } from './fleet.snapshot.js';
import { checkManifest } from './manifest.rules.js';

const empty: FleetSnapshot = { tenants: new Map(), accounts: new Map(), bots: new Map() };
const version = { generation: 1, createdAt: '2026-01-01T00:00:00.000000Z' };

const unbounded = { quotas: { bots: null, cpuMillis: null, memoryMiB: null }, used: no_use };

/** What the database does with the changes; a deleted bot is gone at once. */
function carryOut(changes: readonly FleetChange[], now: FleetSnapshot): FleetSnapshot {
  const tenants = new Map<string, TenantNow>(now.tenants);
  const accounts = new Map<string, AccountNow>(now.accounts);
  const bots = new Map<string, BotNow>(now.bots);
  for (const change of changes) {
    const { name } = change;
    if (change.entity === 'tenant')
      tenants.set(name, { ...version, ...unbounded, name, displayName: change.displayName });
    else if (change.entity === 'account') {
      const { tenant, server, login } = change;
      accounts.set(name, { ...version, name, tenant, server, login });
    } else if (change.action === 'delete') bots.delete(name);
    else
      bots.set(name, {
        ...change.bot,
        generation: (bots.get(name)?.generation ?? 0) + 1,
        createdAt: version.createdAt,
      });
  }
  return { tenants, accounts, bots };
}

/**
 * Manifests over one small world, in which accounts and bots stay where they belong, so that any can follow any other:
 * tenant t0..t2, each with accounts and bots of its own.
 */
const bot = (tenant: number, n: number) =>
  fc.record({
    name: fc.constant(`b-${tenant}-${n}`),
    account: fc.constant(`a-${tenant}-${n}`),
    runtime: fc.constant('paper' as const),
    parameters: fc.dictionary(
      fc.constantFrom('lots', 'symbol', 'trail'),
      fc.oneof(fc.constantFrom(0.1, 0.2), fc.constantFrom('EURUSD', 'GBPUSD'), fc.boolean()),
    ),
    resources: fc.record({ cpuMillis: fc.constantFrom(100, 200) }, { requiredKeys: [] }),
    constraints: fc.constantFrom([], [{ label: 'zone', operator: 'in' as const, values: ['a'] }]),
    policies: fc.record({ stopGraceMs: fc.constantFrom(0, 5000) }, { requiredKeys: [] }),
    desired: fc.constantFrom('running' as const, 'stopped' as const),
  });
const tenantArbitrary = (tenant: number) =>
  fc.record(
    {
      name: fc.constant(`t${tenant}`),
      displayName: fc.constantFrom('One', 'Two'),
      accounts: fc.constant(
        [0, 1, 2].map((n) => ({ name: `a-${tenant}-${n}`, server: 'S', login: tenant * 10 + n + 1 })),
      ),
      bots: fc.tuple(bot(tenant, 0), bot(tenant, 1), bot(tenant, 2)).chain((bots) => fc.subarray(bots)),
    },
    { requiredKeys: ['name', 'accounts', 'bots'] },
  );
const manifest = fc
  .record({
    apiVersion: fc.constant('tradefleet/v1' as const),
    prune: fc.boolean(),
    tenants: fc
      .tuple(tenantArbitrary(0), tenantArbitrary(1), tenantArbitrary(2))
      .chain((tenants) => fc.subarray(tenants, { minLength: 1 })),
  })
  .map((input) => Manifest.parse(input));
const shuffled = (input: Manifest) =>
  fc.record({
    apiVersion: fc.constant(input.apiVersion),
    prune: fc.constant(input.prune),
    tenants: fc
      .shuffledSubarray(input.tenants, { minLength: input.tenants.length })
      .chain((tenants) =>
        fc.tuple(
          ...tenants.map((tenant) =>
            fc
              .shuffledSubarray(tenant.bots, { minLength: tenant.bots.length })
              .map((bots) => ({ ...tenant, accounts: [...tenant.accounts].reverse(), bots })),
          ),
        ),
      ),
  });
/** A fleet that came about by applying manifests, and the next manifest. */
const history = fc.tuple(fc.array(manifest, { maxLength: 3 }), manifest).map(([before, next]) => {
  const now = before.reduce((fleet, m) => carryOut(diffFleet(m, fleet).changes, fleet), empty);
  return { now, next };
});

it('leaves a bot in the version it has, unless the manifest names one', () => {
  const wanted = (named: object) =>
    Manifest.parse({
      apiVersion: 'tradefleet/v1',
      tenants: [
        {
          name: 't0',
          accounts: [{ name: 'a', server: 'S', login: 1 }],
          bots: [{ name: 'b', account: 'a', runtime: 'paper', ...named }],
        },
      ],
    });
  const made = carryOut(diffFleet(wanted({}), empty).changes, empty);
  expect(made.bots.get('b')?.version).toBeNull();
  const rolled = carryOut(diffFleet(wanted({ version: 'v2' }), made).changes, made);
  expect(diffFleet(wanted({}), rolled).changes).toEqual([]);
  expect(diffFleet(wanted({ version: null }), rolled).changes).toMatchObject([
    { action: 'update', name: 'b', restarts: true, fields: [{ path: 'version', from: 'v2', to: null }] },
  ]);
});

describe('a plan', () => {
  it('is empty once it has been carried out', () => {
    fc.assert(
      fc.property(history, ({ now, next }) => {
        const after = carryOut(diffFleet(next, now).changes, now);
        const { changes, unchanged } = diffFleet(next, after);
        const named = next.tenants.reduce(
          (n, tenant) => n + 1 + tenant.accounts.length + tenant.bots.length,
          0,
        );
        expect({ changes, unchanged }).toEqual({ changes: [], unchanged: named });
      }),
    );
  });

  it('does not depend on the order in which the manifest names things', () => {
    const pair = history.chain(({ now, next }) => shuffled(next).map((other) => ({ now, next, other })));
    fc.assert(
      fc.property(pair, ({ now, next, other }) => {
        expect(diffFleet(other, now)).toEqual(diffFleet(next, now));
      }),
    );
  });

  it('names nothing that stays as it is, and every field of an update differs', () => {
    fc.assert(
      fc.property(history, ({ now, next }) => {
        const { changes } = diffFleet(next, now);
        const after = carryOut(changes, now);
        const named = new Set(changes.map((change) => `${change.entity} ${change.name}`));
        expect(named.size).toBe(changes.length);
        for (const change of changes) {
          const [from, to] = (['tenants', 'accounts', 'bots'] as const)
            .filter((kind) => kind === `${change.entity}s`)
            .flatMap((kind) => [now[kind].get(change.name), after[kind].get(change.name)]);
          expect(from === undefined).toBe(change.action === 'create');
          expect(to === undefined).toBe(change.action === 'delete');
          if (change.action === 'update') expect(change.fields.length).toBeGreaterThan(0);
          for (const field of change.fields) expect(field.from).not.toEqual(field.to);
        }
        for (const [name, there] of now.bots) {
          if (!named.has(`bot ${name}`)) expect(after.bots.get(name)).toBe(there);
        }
      }),
    );
  });

  it('deletes what the manifest does not name with prune, of its tenants only, and nothing without', () => {
    fc.assert(
      fc.property(history, ({ now, next }) => {
        const after = carryOut(diffFleet(next, now).changes, now);
        const tenants = new Set(next.tenants.map(({ name }) => name));
        const named = new Set(next.tenants.flatMap(({ bots }) => bots.map(({ name }) => name)));
        for (const [name, { tenant }] of now.bots) {
          const stays = !next.prune || !tenants.has(tenant) || named.has(name);
          expect(after.bots.has(name)).toBe(stays);
        }
      }),
    );
  });

  it('has a version that covers every entity it was compared with, those that are not there too', () => {
    fc.assert(
      fc.property(history, fc.nat(), ({ now, next }, pick) => {
        const planned = planVersion(next, now);
        expect(planVersion(Manifest.parse(JSON.parse(JSON.stringify(next))), now)).toBe(planned);
        expect(planVersion({ ...next, prune: !next.prune }, now)).not.toBe(planned);
        const names = next.tenants.flatMap(({ bots }) => bots.map(({ name }) => name));
        const name = names[pick % Math.max(names.length, 1)];
        if (name === undefined) return;
        const bots = new Map(now.bots);
        const there = bots.get(name);
        if (there === undefined) {
          const { changes } = diffFleet(next, now);
          expect(planVersion(next, carryOut(changes, now))).not.toBe(planned);
        } else {
          bots.set(name, { ...there, generation: there.generation + 1 });
          expect(planVersion(next, { ...now, bots })).not.toBe(planned);
          // The same name and generation, but another life.
          bots.set(name, { ...there, createdAt: '2026-02-02T00:00:00.000000Z' });
          expect(planVersion(next, { ...now, bots })).not.toBe(planned);
        }
      }),
    );
  });
});

describe('fields of an update', () => {
  const base = Manifest.parse({
    apiVersion: 'tradefleet/v1',
    tenants: [
      {
        name: 't',
        accounts: [{ name: 'a', server: 'S', login: 1 }],
        bots: [{ name: 'b', account: 'a', runtime: 'paper', parameters: { lots: 0.1, symbol: 'EURUSD' } }],
      },
    ],
  });
  const now = carryOut(diffFleet(base, empty).changes, empty);
  const withBot = (fields: object) =>
    Manifest.parse({
      ...base,
      tenants: [{ ...base.tenants[0], bots: [{ name: 'b', account: 'a', runtime: 'paper', ...fields }] }],
    });

  it('are dotted paths with the values before and after', () => {
    const next = withBot({ parameters: { lots: 0.2, trail: true }, resources: { memoryMiB: 256 } });
    expect(diffFleet(next, now).changes).toMatchObject([
      {
        action: 'update',
        entity: 'bot',
        name: 'b',
        restarts: true,
        fields: [
          { path: 'parameters.lots', from: 0.1, to: 0.2 },
          { path: 'parameters.symbol', from: 'EURUSD', to: null },
          { path: 'parameters.trail', from: null, to: true },
          { path: 'resources.memoryMiB', from: 128, to: 256 },
        ],
      },
    ]);
  });

  it('tell a stop from a restart', () => {
    const parameters = { lots: 0.1, symbol: 'EURUSD' };
    expect(diffFleet(withBot({ parameters, desired: 'stopped' }), now).changes).toMatchObject([
      { restarts: false, fields: [{ path: 'desired', from: 'running', to: 'stopped' }] },
    ]);
  });
});

describe('a manifest', () => {
  const problemOf = (tenants: unknown, now: FleetSnapshot = empty): ProblemError => {
    try {
      const parsed = Manifest.parse({ apiVersion: 'tradefleet/v1', tenants });
      checkManifest(parsed);
      diffFleet(parsed, now);
    } catch (error) {
      if (error instanceof ProblemError) return error;
      throw error;
    }
    throw new Error('The manifest was not refused');
  };
  const paths = (problem: ProblemError) => [
    problem.code,
    ...(problem.options.errors ?? []).map(({ path }) => path),
  ];
  const account = (name: string, login: number) => ({ name, server: 'S', login });
  const aBot = (name: string, of: string) => ({ name, account: of, runtime: 'paper' });

  it('names everything once', () => {
    const problem = problemOf([
      { name: 't', accounts: [account('a', 1), account('a', 1)], bots: [aBot('b', 'a'), aBot('b', 'a')] },
      { name: 't' },
    ]);
    expect(paths(problem)).toEqual([
      'invalid_request',
      'tenants.0.accounts.1.name',
      'tenants.0.accounts.1.login',
      'tenants.1.name',
      'tenants.0.bots.1.name',
      'tenants.0.bots.1.account',
    ]);
  });

  it("uses its own tenant's accounts, declared here or there already", () => {
    const elsewhere = [
      { name: 't', bots: [aBot('b', 'a')] },
      { name: 'u', accounts: [account('a', 1)] },
    ];
    expect(paths(problemOf(elsewhere))).toEqual(['invalid_request', 'tenants.0.bots.0.account']);
    const there = { ...version, name: 'a', tenant: 'u', server: 'S', login: 1 };
    const now = { ...empty, accounts: new Map([['a', there]]) };
    expect(paths(problemOf([{ name: 't', bots: [aBot('b', 'a')] }], now))).toEqual([
      'invalid_request',
      'tenants.0.bots.0.account',
    ]);
    expect(paths(problemOf([{ name: 't', bots: [aBot('b', 'a')] }]))).toEqual([
      'account_not_found',
      'tenants.0.bots.0.account',
    ]);
  });

  it('cannot move a login, an account or a bot', () => {
    const made = Manifest.parse({
      apiVersion: 'tradefleet/v1',
      tenants: [{ name: 't', accounts: [account('a', 1), account('c', 2)], bots: [aBot('b', 'a')] }],
    });
    const now = carryOut(diffFleet(made, empty).changes, empty);
    const refusals = [
      { accounts: [account('other', 1)] },
      { accounts: [account('a', 9)] },
      { bots: [aBot('b', 'c')] },
      { bots: [aBot('other', 'a')] },
      { bots: [{ ...aBot('b', 'a'), runtime: 'mt5' }] },
    ].map((fields) => paths(problemOf([{ name: 't', ...fields }], now)));
    expect(refusals).toEqual([
      ['account_exists', 'tenants.0.accounts.0.login'],
      ['invalid_transition', 'tenants.0.accounts.0.login'],
      ['invalid_transition', 'tenants.0.bots.0.account'],
      ['account_in_use', 'tenants.0.bots.0.account'],
      ['invalid_transition', 'tenants.0.bots.0.runtime'],
    ]);
  });
});

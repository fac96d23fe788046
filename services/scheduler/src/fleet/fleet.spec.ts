import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { newId, type ApiRequest } from '#libs/contracts';
import { uniqueLogin, uniqueName } from '#libs/testing';
import { ApiHarness } from '../api.harness.js';

type ManifestRequest = ApiRequest<'fleet.plan'>['manifest'];

describe('fleet.plan and fleet.apply over NATS', () => {
  let harness: ApiHarness;
  beforeAll(async () => {
    harness = await ApiHarness.start();
  });
  afterAll(async () => {
    await harness.stop();
  });

  /** A tenant with as many accounts as bots. */
  const manifestOf = (count: number, tenant = uniqueName('tenant')): ManifestRequest => {
    const accounts = Array.from({ length: count }, (_, n) => ({
      name: `${tenant}-a${n}`,
      server: 'Paper-Demo',
      login: uniqueLogin(),
    }));
    const bots = accounts.map((account, n) => ({
      name: `${tenant}-b${n}`,
      account: account.name,
      runtime: 'paper' as const,
      parameters: { lots: 0.1 },
    }));
    return { apiVersion: 'tradefleet/v1', tenants: [{ name: tenant, accounts, bots }] };
  };
  const apply = async (manifest: ManifestRequest) => {
    const { version } = await harness.ask('fleet.plan', { manifest });
    return await harness.ask('fleet.apply', { manifest, version });
  };
  const withBots = (
    manifest: ManifestRequest,
    change: (bot: object, n: number) => object | null,
  ): ManifestRequest =>
    ({
      ...manifest,
      tenants: manifest.tenants.map((tenant) => ({
        ...tenant,
        bots: (tenant.bots ?? []).map(change).filter((bot) => bot !== null),
      })),
    }) as ManifestRequest;

  it('plans without changing anything, applies the plan, and has nothing left to plan', async () => {
    const manifest = manifestOf(3);
    const before = await harness.everything();
    const plan = await harness.ask('fleet.plan', { manifest });
    expect(await harness.everything()).toEqual(before);
    expect(plan.changes.map(({ action, entity }) => `${action} ${entity}`)).toEqual([
      'create tenant',
      ...Array<string>(3).fill('create account'),
      ...Array<string>(3).fill('create bot'),
    ]);

    const applied = await harness.ask('fleet.apply', { manifest, version: plan.version });
    expect(applied.changes).toEqual(plan.changes);
    expect(await harness.ask('operations.get', { id: applied.operation })).toMatchObject({
      kind: 'fleet.apply',
      state: 'running',
      progress: { done: 0, failed: 0, total: 3 },
    });
    const again = await harness.ask('fleet.plan', { manifest });
    expect(again).toMatchObject({ changes: [], unchanged: 7 });
    const nothing = await harness.ask('fleet.apply', { manifest, version: again.version });
    expect((await harness.ask('operations.get', { id: nothing.operation })).state).toBe('succeeded');
  });

  it('changes, stops and with prune deletes, and tells it event by event', async () => {
    const manifest = manifestOf(4);
    await apply(manifest);
    const next = withBots({ ...manifest, prune: true }, (bot, n) =>
      n === 0
        ? { ...bot, parameters: { lots: 0.2 } }
        : n === 1
          ? { ...bot, desired: 'stopped' }
          : n === 2
            ? null
            : bot,
    );
    const { changes, operation } = await apply(next);
    const tenant = manifest.tenants[0]?.name ?? '';
    expect(changes.map(({ action, name, restarts }) => ({ action, name, restarts }))).toEqual([
      { action: 'update', name: `${tenant}-b0`, restarts: true },
      { action: 'update', name: `${tenant}-b1`, restarts: false },
      { action: 'delete', name: `${tenant}-b2`, restarts: false },
    ]);
    const { bots } = await harness.ask('bots.list', { tenant });
    expect(bots.map(({ desired, generation }) => `${desired} ${generation}`)).toEqual([
      'running 2',
      'stopped 2',
      'deleted 2',
      'running 1',
    ]);
    expect((await harness.ask('operations.get', { id: operation })).targets).toEqual(
      expect.arrayContaining([
        { bot: `${tenant}-b0`, generation: 2, goal: 'running', state: 'running', reason: null },
        { bot: `${tenant}-b1`, generation: 2, goal: 'stopped', state: 'succeeded', reason: null },
        { bot: `${tenant}-b2`, generation: 2, goal: 'deleted', state: 'running', reason: null },
      ]),
    );
    const events = await harness.sql<{ type: string; bot: string }>(
      `SELECT event ->> 'type' AS type, event ->> 'subjectId' AS bot FROM scheduler.outbox
       WHERE body::jsonb ->> 'operation' = $1 AND event ->> 'type' LIKE 'tradefleet.bot.%' ORDER BY id`,
      [operation],
    );
    expect(events).toEqual([
      { type: 'tradefleet.bot.updated', bot: `${tenant}-b0` },
      { type: 'tradefleet.bot.updated', bot: `${tenant}-b1` },
      { type: 'tradefleet.bot.delete-requested', bot: `${tenant}-b2` },
    ]);
  });

  it('tries a bot that was given up anew when it is changed', async () => {
    const manifest = manifestOf(1);
    await apply(manifest);
    const name = manifest.tenants[0]?.bots?.[0]?.name ?? '';
    await harness.sql('UPDATE scheduler.bots SET failures = 4, gave_up_at = now() WHERE name = $1', [name]);
    const { operation } = await apply(withBots(manifest, (bot) => ({ ...bot, parameters: { lots: 0.2 } })));
    expect((await harness.ask('operations.get', { id: operation })).state).toBe('running');
    expect((await harness.ask('bots.get', { name })).status).toMatchObject({ failures: 0, gaveUpAt: null });
  });

  it('refuses a plan that has been overtaken, whatever overtook it, and then changes nothing', async () => {
    const overtakings: ((manifest: ManifestRequest) => Promise<unknown>)[] = [
      async (m) => await harness.ask('bots.stop', { name: m.tenants[0]?.bots?.[0]?.name ?? '' }),
      async (m) =>
        await harness.ask('accounts.lock', { name: m.tenants[0]?.accounts?.[0]?.name ?? '', reason: 'x' }),
      // One more bot of a tenant matters to a manifest that prunes.
      async (m) => await harness.aBot({ account: await harness.anAccount(m.tenants[0]?.name) }),
    ];
    for (const overtake of overtakings) {
      const manifest = { ...manifestOf(2), prune: true };
      await apply(manifest);
      const next = withBots(manifest, (bot) => ({ ...bot, parameters: { lots: 0.3 } }));
      const { version } = await harness.ask('fleet.plan', { manifest: next });
      await overtake(manifest);
      const before = await harness.everything();
      expect(await harness.refusal('fleet.apply', { manifest: next, version })).toMatchObject({
        code: 'stale_plan',
        detail: expect.stringContaining('Ask for a new plan with fleet.plan'),
      });
      expect(await harness.everything()).toEqual(before);
    }
  });

  it('refuses the version of another manifest', async () => {
    const manifest = manifestOf(1);
    const { version } = await harness.ask('fleet.plan', { manifest });
    const other = withBots(manifest, (bot) => ({ ...bot, desired: 'stopped' }));
    expect((await harness.refusal('fleet.apply', { manifest: other, version })).code).toBe('stale_plan');
  });

  it('lets one of three appliers of the same plan through', async () => {
    const manifest = manifestOf(20);
    const { version } = await harness.ask('fleet.plan', { manifest });
    const answers = await Promise.allSettled(
      [1, 2, 3].map(async () => await harness.ask('fleet.apply', { manifest, version })),
    );
    expect(answers.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    for (const answer of answers)
      if (answer.status === 'rejected') expect(String(answer.reason)).toContain('stale_plan');
  });

  it('and a bot made at the same moment under a name it plans do not both succeed', async () => {
    for (let round = 0; round < 10; round += 1) {
      const tenant = await harness.aTenant();
      const account = await harness.anAccount(tenant);
      const manifest = manifestOf(3, tenant);
      const name = manifest.tenants[0]?.bots?.[1]?.name ?? '';
      const { version } = await harness.ask('fleet.plan', { manifest });
      const [applied, made] = await Promise.allSettled([
        harness.ask('fleet.apply', { manifest, version }),
        harness.ask('bots.create', { name, account, runtime: 'paper' }),
      ]);
      expect([applied.status, made.status].sort()).toEqual(['fulfilled', 'rejected']);
      if (applied.status === 'rejected') expect(String(applied.reason)).toContain('stale_plan');
      if (made.status === 'rejected') expect(String(made.reason)).toContain('bot_exists');
    }
  });

  it('gives the same answer to the same apply, by its key', async () => {
    const manifest = manifestOf(2);
    const { version } = await harness.ask('fleet.plan', { manifest });
    const request = { manifest, version, idempotencyKey: newId() };
    const [first, second] = await Promise.all([
      harness.ask('fleet.apply', request),
      harness.ask('fleet.apply', request),
    ]);
    expect(second).toEqual(first);
  });

  it('does not create on an account that is in use', async () => {
    const manifest = manifestOf(1);
    await apply(manifest);
    const before = await harness.everything();
    const renamed = withBots({ ...manifest, prune: true }, (bot) => ({ ...bot, name: uniqueName('bot') }));
    expect(await harness.refusal('fleet.plan', { manifest: renamed })).toMatchObject({
      code: 'account_in_use',
      errors: [{ path: 'tenants.0.bots.0.account', message: expect.stringContaining('delete it first') }],
    });
    expect(await harness.everything()).toEqual(before);
  });

  it('applies a thousand bots in one transaction', async () => {
    const manifest = manifestOf(1000, uniqueName('t').slice(0, 8));
    const { operation, changes } = await apply(manifest);
    expect(changes).toHaveLength(2001);
    const found = await harness.ask('operations.get', { id: operation });
    expect(found.progress).toEqual({ done: 0, failed: 0, total: 1000 });
    expect(found.targets).toHaveLength(1000);
    expect(await harness.ask('fleet.plan', { manifest })).toMatchObject({ changes: [], unchanged: 2001 });
  });
});

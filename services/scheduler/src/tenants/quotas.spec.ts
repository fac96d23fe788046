import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { ApiRequest, Quotas } from '#libs/contracts';
import { uniqueLogin, uniqueName } from '#libs/testing';
import { ApiHarness } from '../api.harness.js';
import { quotaFaults } from './quota.rule.js';

describe('quotas', () => {
  let harness: ApiHarness;
  beforeAll(async () => {
    harness = await ApiHarness.start();
  });
  afterAll(async () => {
    await harness.stop();
  });

  const aTenant = async (quotas: Partial<Quotas>): Promise<string> => {
    const name = await harness.aTenant();
    await harness.ask('tenants.update', { name, quotas });
    return name;
  };
  const create = async (
    tenant: string,
    more: Partial<ApiRequest<'bots.create'>> = {},
  ): Promise<{ name: string; request: ApiRequest<'bots.create'> }> => {
    const account = await harness.anAccount(tenant);
    const name = uniqueName('bot');
    return { name, request: { name, account, runtime: 'paper', ...more } };
  };
  const run = async (tenant: string, more: Partial<ApiRequest<'bots.create'>> = {}): Promise<string> => {
    const { name, request } = await create(tenant, more);
    await harness.ask('bots.create', request);
    return name;
  };
  const used = async (name: string) => (await harness.ask('tenants.get', { name })).used;

  it('are changed under the generation that was read, and told of', async () => {
    const name = await harness.aTenant();
    const changed = await harness.ask('tenants.update', {
      name,
      expectedGeneration: 1,
      displayName: 'Acme',
      quotas: { bots: 5 },
      priority: 80,
    });
    expect(changed).toMatchObject({
      displayName: 'Acme',
      quotas: { bots: 5, cpuMillis: null, memoryMiB: null },
      priority: 80,
      generation: 2,
    });
    // What is not named stays, null takes a quota away, and what changes nothing is no change.
    const again = await harness.ask('tenants.update', { name, quotas: { bots: null, memoryMiB: 512 } });
    expect(again).toMatchObject({ quotas: { bots: null, memoryMiB: 512 }, priority: 80, generation: 3 });
    expect((await harness.ask('tenants.update', { name, priority: 80 })).generation).toBe(3);
    expect(
      await harness.refusal('tenants.update', { name, priority: 1, expectedGeneration: 2 }),
    ).toMatchObject({ code: 'stale_generation' });
    expect(await harness.refusal('tenants.update', { name: 'nobody', priority: 1 })).toMatchObject({
      code: 'tenant_not_found',
    });
    const events = await harness.sql(
      `SELECT event ->> 'type' AS type, body::jsonb AS data FROM scheduler.outbox
       WHERE event ->> 'subjectId' = $1 ORDER BY id`,
      [name],
    );
    expect(events.at(-1)?.data).toEqual({
      tenant: name,
      generation: 3,
      quotas: { bots: null, cpuMillis: null, memoryMiB: 512 },
      priority: 80,
    });
    expect(events.map(({ type }) => type)).toEqual([
      'tradefleet.tenant.created',
      'tradefleet.tenant.updated',
      'tradefleet.tenant.updated',
    ]);
  });

  it('count the bots that should run, whether or not they do', async () => {
    const tenant = await aTenant({});
    const first = await run(tenant, { resources: { cpuMillis: 300, memoryMiB: 200 } });
    await run(tenant, { resources: { cpuMillis: 100, memoryMiB: 100 } });
    await run(tenant, { desired: 'stopped' });
    expect(await used(tenant)).toEqual({ bots: 2, cpuMillis: 400, memoryMiB: 300 });
    await harness.ask('bots.stop', { name: first });
    expect(await used(tenant)).toEqual({ bots: 1, cpuMillis: 100, memoryMiB: 100 });
  });

  it.each([
    ['bots', { bots: 1 }, '1 bots used, 1 more asked for, 1 allowed'],
    ['cpuMillis', { cpuMillis: 150 }, '100 millicores used, 100 more asked for, 150 allowed'],
    ['memoryMiB', { memoryMiB: 255 }, '128 MiB used, 128 more asked for, 255 allowed'],
  ])('refuse a new bot above %s, and leave nothing of it', async (path, quotas, message) => {
    const tenant = await aTenant(quotas);
    const resources = { cpuMillis: 100, memoryMiB: 128 };
    await run(tenant, { resources });
    const { request } = await create(tenant, { resources });
    const before = await harness.everything();
    expect(await harness.refusal('bots.create', request)).toMatchObject({
      code: 'quota_exceeded',
      status: 409,
      errors: [{ path, message }],
    });
    expect(await harness.everything()).toEqual(before);
    // One that is not to run counts for nothing, until it is.
    await harness.ask('bots.create', { ...request, desired: 'stopped' });
    expect(await harness.refusal('bots.start', { name: request.name })).toMatchObject({
      code: 'quota_exceeded',
    });
  });

  it('let a stopped bot make room, and one that runs be started again', async () => {
    const tenant = await aTenant({ bots: 1 });
    const first = await run(tenant);
    const second = await run(tenant, { desired: 'stopped' });
    await harness.ask('bots.start', { name: first });
    await harness.ask('bots.stop', { name: first });
    await harness.ask('bots.start', { name: second });
    expect(await harness.refusal('bots.start', { name: first })).toMatchObject({ code: 'quota_exceeded' });
  });

  it('bound how much a running bot may be enlarged', async () => {
    const tenant = await aTenant({ memoryMiB: 500 });
    const name = await run(tenant, { resources: { memoryMiB: 300 } });
    expect(await harness.refusal('bots.update', { name, resources: { memoryMiB: 501 } })).toMatchObject({
      code: 'quota_exceeded',
      errors: [{ path: 'memoryMiB', message: '300 MiB used, 201 more asked for, 500 allowed' }],
    });
    await harness.ask('bots.update', { name, resources: { memoryMiB: 500 } });
    await harness.ask('bots.stop', { name });
    await harness.ask('bots.update', { name, resources: { memoryMiB: 900 } });
    expect(await harness.refusal('bots.start', { name })).toMatchObject({ code: 'quota_exceeded' });
  });

  it('stop nothing when they are lowered, and let what runs change and shrink', async () => {
    const tenant = await aTenant({});
    const resources = { cpuMillis: 300, memoryMiB: 300 };
    const names = [await run(tenant, { resources }), await run(tenant, { resources })];
    await harness.ask('tenants.update', { name: tenant, quotas: { bots: 0, cpuMillis: 10, memoryMiB: 10 } });
    for (const name of names) expect((await harness.ask('bots.get', { name })).desired).toBe('running');
    const [name = ''] = names;
    await harness.ask('bots.update', { name, parameters: { symbol: 'EURUSD' } });
    await harness.ask('bots.update', { name, resources: { memoryMiB: 200 } });
    expect(await harness.refusal('bots.update', { name, resources: { memoryMiB: 201 } })).toMatchObject({
      code: 'quota_exceeded',
    });
    const { request } = await create(tenant);
    expect(await harness.refusal('bots.create', request)).toMatchObject({ code: 'quota_exceeded' });
  });

  it('hold when many ask at the same time', async () => {
    const tenant = await aTenant({ bots: 4 });
    const requests = await Promise.all(
      Array.from({ length: 12 }, async () => (await create(tenant)).request),
    );
    const stopped = await Promise.all(
      Array.from({ length: 4 }, async () => await run(tenant, { desired: 'stopped' })),
    );
    const answers = await Promise.all([
      ...requests.map(async (request) => await harness.send('bots.create', JSON.stringify(request))),
      ...stopped.map(async (name) => await harness.send('bots.start', JSON.stringify({ name }))),
    ]);
    const outcomes = answers.map(
      (answer) => (answer as { problem?: { code: string } }).problem?.code ?? 'ok',
    );
    expect(outcomes.filter((outcome) => outcome === 'ok')).toHaveLength(4);
    expect(new Set(outcomes)).toEqual(new Set(['ok', 'quota_exceeded']));
    expect((await used(tenant)).bots).toBe(4);
  });

  it('bound a manifest as a whole: what it stops makes room for what it starts', async () => {
    const tenant = await aTenant({ bots: 2 });
    const accounts = await Promise.all([1, 2, 3].map(async () => await harness.anAccount(tenant)));
    const manifest = (desired: readonly ('running' | 'stopped')[]): ApiRequest<'fleet.plan'>['manifest'] => ({
      apiVersion: 'tradefleet/v1',
      tenants: [
        {
          name: tenant,
          bots: desired.map((state, n) => ({
            name: `${tenant.slice(0, 30)}-${n}`,
            account: accounts[n] ?? '',
            runtime: 'paper',
            desired: state,
          })),
        },
      ],
    });
    const apply = async (desired: readonly ('running' | 'stopped')[]): Promise<void> => {
      const { version } = await harness.ask('fleet.plan', { manifest: manifest(desired) });
      await harness.ask('fleet.apply', { manifest: manifest(desired), version });
    };
    expect(
      await harness.refusal('fleet.plan', { manifest: manifest(['running', 'running', 'running']) }),
    ).toMatchObject({ code: 'quota_exceeded', errors: [{ path: 'tenants.0.bots' }] });
    await apply(['running', 'running', 'stopped']);
    await apply(['stopped', 'running', 'running']);
    expect((await used(tenant)).bots).toBe(2);

    // The quota was lowered after the plan: the plan is not the present one any more.
    const wanted = manifest(['running', 'running', 'stopped']);
    const { version } = await harness.ask('fleet.plan', { manifest: wanted });
    await harness.ask('tenants.update', { name: tenant, quotas: { bots: 1 } });
    expect(await harness.refusal('fleet.apply', { manifest: wanted, version })).toMatchObject({
      code: 'stale_plan',
    });
    // Another tenant of the same manifest is not concerned.
    const other = uniqueName('tenant');
    const both = manifest(['stopped', 'running', 'running']);
    both.tenants.push({
      name: other,
      accounts: [{ name: other, server: 'Paper-Demo', login: uniqueLogin() }],
      bots: [{ name: other, account: other, runtime: 'paper' }],
    });
    const planned = await harness.ask('fleet.plan', { manifest: both });
    await harness.ask('fleet.apply', { manifest: both, version: planned.version });
  });
});

describe('quotaFaults', () => {
  const quotas = { bots: 2, cpuMillis: null, memoryMiB: 100 };
  const used = { bots: 3, cpuMillis: 5, memoryMiB: 100 };
  const asked = (bots: number, cpuMillis: number, memoryMiB: number) =>
    quotaFaults(quotas, used, { bots, cpuMillis, memoryMiB }).map(({ path }) => path);

  it('looks at what grows, and at what is bounded', () => {
    expect(asked(0, 1000, 0)).toEqual([]);
    expect(asked(-1, 0, -1)).toEqual([]);
    expect(asked(0, 0, 1)).toEqual(['memoryMiB']);
    expect(asked(1, 0, 1)).toEqual(['bots', 'memoryMiB']);
  });
});

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { uniqueName } from '#libs/testing';
import { ApiHarness } from '../api.harness.js';

describe('tenants over NATS', () => {
  let harness: ApiHarness;
  beforeAll(async () => {
    harness = await ApiHarness.start();
  });
  afterAll(async () => {
    await harness.stop();
  });

  it('makes a tenant, names who asked, and reads it again', async () => {
    const name = uniqueName('tenant');
    const made = await harness.ask('tenants.create', { name, displayName: 'Acme Ltd' });
    expect(made).toMatchObject({ name, displayName: 'Acme Ltd', generation: 1, createdBy: 'nats:anonymous' });
    expect(await harness.ask('tenants.get', { name })).toEqual(made);
  });

  it('records the creation as an event in the same transaction', async () => {
    const name = await harness.aTenant();
    const events = await harness.sql(
      `SELECT event ->> 'type' AS type, event ->> 'actor' AS actor, body::jsonb AS data
       FROM scheduler.outbox WHERE event ->> 'subjectId' = $1`,
      [name],
    );
    expect(events).toEqual([
      { type: 'tradefleet.tenant.created', actor: 'nats:anonymous', data: { tenant: name, generation: 1 } },
    ]);
  });

  it('gives every tenant once over pages of two', async () => {
    const names = await Promise.all([1, 2, 3, 4, 5].map(async () => await harness.aTenant()));
    const seen: string[] = [];
    let after: string | undefined;
    do {
      const page = await harness.ask('tenants.list', { limit: 2, ...(after === undefined ? {} : { after }) });
      expect(page.tenants.length).toBeLessThanOrEqual(2);
      seen.push(...page.tenants.map((tenant) => tenant.name));
      after = page.next ?? undefined;
    } while (after !== undefined);
    expect(new Set(seen).size).toBe(seen.length);
    expect(seen).toEqual(expect.arrayContaining(names));
  });

  it('refuses a name that is taken and one nobody has', async () => {
    const name = await harness.aTenant();
    const before = await harness.everything();
    expect(await harness.refusal('tenants.create', { name })).toMatchObject({
      code: 'tenant_exists',
      status: 409,
      detail: `A tenant is named '${name}' already. Use it, or take another name.`,
    });
    expect(await harness.refusal('tenants.get', { name: 'nobody' })).toMatchObject({
      code: 'tenant_not_found',
    });
    expect(await harness.everything()).toEqual(before);
  });
});

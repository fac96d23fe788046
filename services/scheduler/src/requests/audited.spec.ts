import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import {
  api,
  apiEvents,
  apiNames,
  newId,
  type ApiName,
  type ApiRequest,
  type Problem,
} from '#libs/contracts';
import { uniqueLogin, uniqueName, waitFor } from '#libs/testing';
import { ApiHarness } from '../api.harness.js';
import { ObservationStore } from '../heartbeats/observation.store.js';

/** Operations that change something. */
type Change = {
  [N in ApiName]: (typeof apiEvents)[N]['events'] extends readonly [] ? never : N;
}[ApiName];

interface Row<N extends Change> {
  /** Makes what it needs; gives a request that succeeds. */
  readonly good: () => Promise<ApiRequest<N>>;
  /** A request that fits the schema and is refused, and the code of that. */
  readonly bad: ApiRequest<N>;
  readonly code: string;
}

const isChange = (name: ApiName): name is Change =>
  api[name].service === 'scheduler' && apiEvents[name].events.length > 0;

describe('what is asked of the scheduler', () => {
  let harness: ApiHarness;
  beforeAll(async () => {
    harness = await ApiHarness.start({ refusalEventsPerSecond: 1000 });
    await harness.aHost();
  });
  afterAll(async () => {
    await harness.stop();
  });

  interface Recorded {
    readonly type: string;
    readonly actor: string;
    readonly data: Record<string, unknown>;
  }
  const recordedBy = async (actor: string): Promise<Recorded[]> =>
    await harness.sql<Recorded>(
      `SELECT event ->> 'type' AS type, event ->> 'actor' AS actor, body::jsonb AS data FROM scheduler.outbox
        WHERE event ->> 'actor' = $1 ORDER BY id`,
      [actor],
    );
  const someone = () => `user:${uniqueName('who')}`;
  const aRollout = async () => {
    const { bot } = await harness.aBot();
    const request = { selector: { bots: [bot.name] }, change: { parameters: { lots: 0.2 } } };
    const { version } = await harness.ask('rollouts.plan', request);
    return { ...request, version };
  };
  const aRunningRollout = async () => (await harness.ask('rollouts.create', await aRollout())).id;
  const aBotName = async (desired?: 'stopped') =>
    (await harness.aBot(desired === undefined ? {} : { desired })).bot.name;
  const aManifest = () => ({
    manifest: { apiVersion: 'tradefleet/v1' as const, tenants: [{ name: uniqueName('tenant') }] },
  });
  const drained = async () => {
    const name = await harness.aHost();
    await harness.ask('hosts.drain', { name, reason: 'new kernel' });
    return { name };
  };
  /** A host with all the bots and one without, both heard of. */
  async function unbalanced(): Promise<ApiRequest<'fleet.rebalance'>> {
    const [full, empty] = [await harness.aHost(), await harness.aHost()];
    const heard = harness.app.get(ObservationStore, { strict: false });
    for (const host of [full, empty]) heard.record(host, [], Date.now());
    for (let made = 0; made < 4; made += 1) {
      const { bot } = await harness.aBot({ resources: { cpuMillis: 500 } });
      await harness.anAllocation(bot.name, full);
    }
    await harness.sql(
      `UPDATE scheduler.allocations SET running_at = now() - interval '1 hour' WHERE host = $1`,
      [full],
    );
    const { version, moves } = await harness.ask('fleet.rebalance-plan', {});
    expect(moves.length).toBeGreaterThan(0);
    return { version };
  }

  const nobody = 'nobody';
  const rows: { readonly [N in Change]?: Row<N> } = {
    'tenants.create': {
      good: async () => ({ name: uniqueName('tenant') }),
      bad: { name: 'taken' },
      code: 'tenant_exists',
    },
    'tenants.update': {
      good: async () => ({ name: await harness.aTenant(), displayName: 'Acme' }),
      bad: { name: nobody, displayName: 'Acme' },
      code: 'tenant_not_found',
    },
    'accounts.create': {
      good: async () => ({
        ...{ name: uniqueName('account'), tenant: await harness.aTenant() },
        ...{ server: 'Paper-Demo', login: uniqueLogin() },
      }),
      bad: { name: 'orphan', tenant: nobody, server: 'Paper-Demo', login: 1 },
      code: 'tenant_not_found',
    },
    'accounts.lock': {
      good: async () => ({ name: await harness.anAccount(), reason: 'margin call' }),
      bad: { name: nobody, reason: 'margin call' },
      code: 'account_not_found',
    },
    'accounts.unlock': {
      good: async () => {
        const name = await harness.anAccount();
        await harness.ask('accounts.lock', { name, reason: 'margin call' });
        return { name, reason: 'paid' };
      },
      bad: { name: nobody, reason: 'paid' },
      code: 'account_not_found',
    },
    'bots.create': {
      good: async () => ({
        ...{ name: uniqueName('bot'), account: await harness.anAccount(), runtime: 'paper' },
      }),
      bad: { name: 'orphan', account: nobody, runtime: 'paper' },
      code: 'account_not_found',
    },
    'bots.update': {
      good: async () => ({ name: await aBotName(), parameters: { lots: 1 } }),
      bad: { name: nobody, parameters: { lots: 1 } },
      code: 'bot_not_found',
    },
    'bots.start': {
      good: async () => ({ name: await aBotName('stopped') }),
      bad: { name: nobody },
      code: 'bot_not_found',
    },
    'bots.stop': {
      good: async () => ({ name: await aBotName() }),
      bad: { name: nobody },
      code: 'bot_not_found',
    },
    'bots.delete': {
      good: async () => ({ name: await aBotName() }),
      bad: { name: nobody },
      code: 'bot_not_found',
    },
    'hosts.invite': {
      good: async () => ({ name: uniqueName('host') }),
      bad: { name: 'known' },
      code: 'invalid_transition',
    },
    'hosts.remove': {
      good: async () => ({ name: await harness.aHost('down') }),
      bad: { name: nobody },
      code: 'host_not_found',
    },
    'hosts.label': {
      good: async () => ({ name: await harness.aHost(), set: { zone: 'a' } }),
      bad: { name: nobody, set: { zone: 'a' } },
      code: 'host_not_found',
    },
    'hosts.drain': {
      good: async () => ({ name: await harness.aHost(), reason: 'new kernel' }),
      bad: { name: nobody, reason: 'new kernel' },
      code: 'host_not_found',
    },
    'hosts.ready': { good: drained, bad: { name: nobody }, code: 'host_not_found' },
    'fleet.apply': {
      good: async () => {
        const asked = aManifest();
        const { version } = await harness.ask('fleet.plan', asked);
        return { ...asked, version };
      },
      bad: { ...aManifest(), version: '0'.repeat(64) },
      code: 'stale_plan',
    },
    'rollouts.create': {
      good: aRollout,
      bad: { change: { parameters: { lots: 1 } }, selector: { bots: [nobody] }, version: '0'.repeat(64) },
      code: 'bot_not_found',
    },
    'rollouts.pause': {
      good: async () => ({ id: await aRunningRollout() }),
      bad: { id: newId() },
      code: 'rollout_not_found',
    },
    'rollouts.resume': {
      good: async () => {
        const id = await aRunningRollout();
        await harness.ask('rollouts.pause', { id });
        return { id };
      },
      bad: { id: newId() },
      code: 'rollout_not_found',
    },
    'rollouts.abort': {
      good: async () => ({ id: await aRunningRollout() }),
      bad: { id: newId() },
      code: 'rollout_not_found',
    },
    'fleet.rebalance': { good: unbalanced, bad: { version: '0'.repeat(64) }, code: 'stale_plan' },
  };

  const rowOf = (name: Change) => {
    const row = rows[name];
    if (row === undefined) throw new Error(`Add a row for ${name}.`);
    return row;
  };

  it('has a row for every operation that changes something', () => {
    expect(Object.keys(rows).sort()).toEqual(apiNames.filter(isChange).sort());
  });

  it.each(apiNames.filter(isChange))(
    '%s leaves an event of its success under the name of who asked',
    async (name) => {
      const request = await rowOf(name).good();
      const actor = someone();
      const answer = (await harness.send(name, JSON.stringify(request), actor)) as { ok: boolean };
      expect(answer).toMatchObject({ ok: true });
      const types = (await recordedBy(actor)).map(({ type }) => type);
      const told: readonly string[] = apiEvents[name].events;
      expect(types.filter((type) => told.includes(type))).not.toEqual([]);
    },
  );

  const refusal = async (name: ApiName, body: unknown, actor: string): Promise<Problem> => {
    const answer = await harness.send(name, JSON.stringify(body), actor);
    expect(answer).toMatchObject({ ok: false });
    return (answer as { problem: Problem }).problem;
  };
  const expectRecorded = async (actor: string, type: string, name: ApiName, { code, detail }: Problem) => {
    const recorded = await waitFor(
      async () => {
        const events = await recordedBy(actor);
        return events.length > 0 ? events : null;
      },
      { what: `the refusal of ${name}` },
    );
    expect(recorded).toEqual([{ type, actor, data: { operation: name, code, detail } }]);
  };

  it.each(apiNames.filter(isChange))('%s leaves an event when it is refused', async (name) => {
    if (name === 'tenants.create')
      await harness.sql(
        `INSERT INTO scheduler.tenants SELECT (jsonb_populate_record(t, '{"name": "taken"}')).*
           FROM scheduler.tenants t ORDER BY name LIMIT 1 ON CONFLICT DO NOTHING`,
      );
    if (name === 'hosts.invite')
      await harness.sql(
        `INSERT INTO scheduler.hosts SELECT (jsonb_populate_record(t, '{"name": "known"}')).*
           FROM scheduler.hosts t WHERE state = 'ready' ORDER BY name LIMIT 1 ON CONFLICT DO NOTHING`,
      );
    const actor = someone();
    const problem = await refusal(name, rowOf(name).bad, actor);
    expect(problem.code).toBe(rowOf(name).code);
    await expectRecorded(actor, 'tradefleet.request.refused', name, problem);
  });

  it.each(apiNames.filter((name) => api[name].service === 'scheduler'))(
    '%s leaves an event when its request does not fit the schema',
    async (name) => {
      const actor = someone();
      const problem = await refusal(name, { colour: 'red' }, actor);
      expect(problem.code).toBe('invalid_request');
      const type = isChange(name) ? 'tradefleet.request.refused' : 'tradefleet.request.read-refused';
      await expectRecorded(actor, type, name, problem);
    },
  );
});

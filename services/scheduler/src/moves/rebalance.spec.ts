import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { ApiHarness } from '../api.harness.js';
import { ObservationStore } from '../heartbeats/observation.store.js';
import { RebalanceRepository } from './rebalance.repository.js';

let harness: ApiHarness;
beforeAll(async () => {
  harness = await ApiHarness.start();
});
afterAll(async () => {
  await harness.stop();
});

let full: string;
let empty: string;
let bots: string[];

beforeEach(async () => {
  full = await harness.aHost();
  empty = await harness.aHost();
  for (const host of [full, empty])
    harness.app.get(ObservationStore, { strict: false }).record(host, [], Date.now());
  bots = [];
  for (let made = 0; made < 4; made += 1) {
    const { bot } = await harness.aBot({ resources: { cpuMillis: 500 } });
    await harness.anAllocation(bot.name, full);
    bots.push(bot.name);
  }
  await harness.sql(
    `UPDATE scheduler.allocations SET running_at = now() - interval '1 hour' WHERE host = $1`,
    [full],
  );
});
afterEach(async () => {
  await harness.sql(`UPDATE scheduler.moves SET state = 'cancelled' WHERE state = 'planned'`);
  await harness.sql(`UPDATE scheduler.hosts SET state = 'down'`);
});

describe('rebalancing', () => {
  it('shows what it would move and how full hosts are before and after, and changes nothing', async () => {
    const before = await harness.everything();
    const plan = await harness.ask('fleet.rebalance-plan', {});
    expect(await harness.everything()).toEqual(before);
    expect(plan.moves).toHaveLength(2);
    for (const move of plan.moves) {
      expect(move).toMatchObject({ from: full, to: empty, generation: 1 });
      expect(bots).toContain(move.bot);
    }
    expect(plan.spread).toEqual({ before: 50, after: 0 });
    expect(plan.hosts.map(({ host, before, after }) => [host, before, after]).sort()).toEqual(
      [
        [empty, 0, 25],
        [full, 50, 25],
      ].sort(),
    );
  });

  it('carries out the plan that was looked at: moves that hold room, and an operation', async () => {
    const plan = await harness.ask('fleet.rebalance-plan', { movesMax: 1 });
    const done = await harness.ask('fleet.rebalance', { movesMax: 1, version: plan.version });
    expect(done.moves).toEqual(plan.moves);
    const operation = await harness.ask('operations.get', { id: done.operation });
    expect(operation).toMatchObject({
      kind: 'fleet.rebalance',
      state: 'running',
      targets: [{ bot: plan.moves[0]?.bot, goal: 'moved', state: 'running' }],
    });
    const { moves } = await harness.ask('moves.list', { host: empty });
    expect(moves).toEqual([
      expect.objectContaining({
        bot: plan.moves[0]?.bot,
        from: full,
        to: empty,
        reason: 'rebalance',
        state: 'planned',
        operation: done.operation,
        gapMs: null,
      }),
    ]);
    const id = moves[0]?.id ?? '';
    expect(await harness.ask('moves.get', { id })).toEqual(moves[0]);
    // The room is held: the same plan would now put one less there.
    const next = await harness.ask('fleet.rebalance-plan', {});
    expect(next.hosts.find(({ host }) => host === empty)?.before).toBe(12.5);
    expect(next.moves.map(({ bot }) => bot)).not.toContain(plan.moves[0]?.bot);
  });

  it('refuses a plan that is out of date', async () => {
    const { version, moves } = await harness.ask('fleet.rebalance-plan', {});
    expect(await harness.refusal('fleet.rebalance', { movesMax: 1, version })).toMatchObject({
      code: 'stale_plan',
    });
    await harness.sql(`UPDATE scheduler.bots SET desired = 'stopped' WHERE name = $1`, [moves[0]?.bot]);
    const before = await harness.everything();
    expect(await harness.refusal('fleet.rebalance', { version })).toMatchObject({ code: 'stale_plan' });
    expect(await harness.everything()).toEqual(before);
  });

  it('refuses it also when a bot is told to stop while it is carried out', async () => {
    const { version } = await harness.ask('fleet.rebalance-plan', {});
    const repository = harness.app.get(RebalanceRepository, { strict: false });
    const movable = repository.movable.bind(repository);
    repository.movable = async (since) => {
      const found = await movable(since);
      await harness.sql(`UPDATE scheduler.allocations SET stop_requested_at = now() WHERE host = $1`, [full]);
      return found;
    };
    try {
      expect(await harness.refusal('fleet.rebalance', { version })).toMatchObject({ code: 'stale_plan' });
    } finally {
      repository.movable = movable;
    }
    expect((await harness.ask('moves.list', { host: full })).moves).toEqual([]);
  });

  it('refuses it also when the target gets full while it is carried out', async () => {
    const { version } = await harness.ask('fleet.rebalance-plan', {});
    const repository = harness.app.get(RebalanceRepository, { strict: false });
    const movable = repository.movable.bind(repository);
    repository.movable = async (since) => {
      const found = await movable(since);
      await harness.sql(`UPDATE scheduler.hosts SET bots_max = 1 WHERE name = $1`, [empty]);
      return found;
    };
    try {
      expect(await harness.refusal('fleet.rebalance', { version })).toMatchObject({ code: 'stale_plan' });
    } finally {
      repository.movable = movable;
    }
    expect((await harness.ask('moves.list', { host: full })).moves).toEqual([]);
  });

  it('leaves bots alone that have just begun to run', async () => {
    expect((await harness.ask('fleet.rebalance-plan', { ranForMs: 7_200_000 })).moves).toEqual([]);
  });

  it('gives the same answer to the same request sent twice', async () => {
    const { version } = await harness.ask('fleet.rebalance-plan', {});
    const request = { version, idempotencyKey: `key-${full}` };
    const first = await harness.ask('fleet.rebalance', request);
    expect(await harness.ask('fleet.rebalance', request)).toEqual(first);
    expect((await harness.ask('moves.list', { host: full, state: 'planned' })).moves).toHaveLength(2);
  });

  it('says that there is no such move, and pages through those there are', async () => {
    expect(await harness.refusal('moves.get', { id: crypto.randomUUID() })).toMatchObject({
      code: 'move_not_found',
    });
    const { version } = await harness.ask('fleet.rebalance-plan', {});
    await harness.ask('fleet.rebalance', { version });
    const page = await harness.ask('moves.list', { host: full, limit: 1 });
    expect(page.next).toBe(page.moves[0]?.id);
    const rest = await harness.ask('moves.list', { host: full, limit: 5, after: page.next ?? '' });
    expect(rest.moves).toHaveLength(1);
    expect(rest.next).toBeNull();
    expect(await harness.refusal('moves.list', { after: 'nonsense' })).toMatchObject({
      code: 'invalid_request',
    });
  });
});

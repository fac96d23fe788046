import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { hasEnded, type Rollout } from '#libs/contracts';
import { startNats, startPostgres, VirtualClock, type TestNats, type TestPostgres } from '#libs/testing';
import { migratedDatabase, type RuntimeHarness } from '../runtime.harness.js';
import { asker, brokenExits, RolloutFleet } from './rollout.harness.js';

let nats: TestNats;
let postgres: TestPostgres;
let clock: VirtualClock;
let databaseUrl: string;
let schedulers: RuntimeHarness[];
let fleet: RolloutFleet;

beforeAll(async () => {
  [nats, postgres] = await Promise.all([startNats(), startPostgres()]);
});
afterAll(async () => {
  await nats.stop();
  await postgres.stop();
});
beforeEach(async () => {
  clock = new VirtualClock(Date.now());
  databaseUrl = await migratedDatabase(postgres);
  schedulers = [await RolloutFleet.scheduler({ databaseUrl, nats, clock })];
  const [first] = schedulers;
  if (first === undefined) throw new Error('no scheduler');
  fleet = new RolloutFleet(first, clock);
  await fleet.host();
});
afterEach(async () => {
  for (const scheduler of schedulers) await scheduler.stop();
});

const options = { minHealthyMs: 3000, progressDeadlineMs: 60_000, batchSize: 5 };
const ended = ({ state }: Rollout): boolean => hasEnded(state);
const operationOf = async (rollout: Rollout) => {
  const [row] = await fleet.runtime.query<{ state: string; done: number; failed: number; total: number }>(
    'SELECT state, done, failed, total FROM scheduler.operations WHERE id = $1',
    [rollout.operation],
  );
  return row;
};
const changePart = async (bot: string): Promise<void> => {
  await fleet.runtime.query(
    `UPDATE scheduler.bots SET parameters = '{"by":"hand"}', generation = generation + 1 WHERE name = $1`,
    [bot],
  );
};

describe('a plan', () => {
  it('shows what changes on each bot, what restarts and who offers it, and changes nothing', async () => {
    const { tenant, names } = await fleet.bots(3);
    const [first = '', second = ''] = names;
    await fleet.runtime.query('UPDATE scheduler.bots SET parameters = $2 WHERE name = $1', [
      first,
      { lots: 0.1, symbol: 'EURUSD' },
    ]);
    await fleet.runtime.change(second, 'stopped');
    const before = await fleet.standing();
    const change = { version: 'v2', parameters: { lots: 0.2, symbol: null } };

    const all = await fleet.plan({ selector: { tenant, onlyRunning: false }, change });
    expect(all.bots).toHaveLength(3);
    const shown = all.bots.find(({ bot }) => bot === first);
    expect(shown).toMatchObject({
      batch: 0,
      restarts: true,
      generation: 1,
      runtime: 'paper',
      conflict: null,
    });
    expect(shown?.fields).toEqual([
      { path: 'parameters.lots', from: 0.1, to: 0.2 },
      { path: 'parameters.symbol', from: 'EURUSD', to: null },
      { path: 'version', from: null, to: 'v2' },
    ]);
    expect(all.bots.find(({ bot }) => bot === second)).toMatchObject({ restarts: false, desired: 'stopped' });
    expect(all.offered).toEqual([{ runtime: 'paper@v2', hosts: 1 }]);

    const running = await fleet.plan({ selector: { tenant }, change });
    expect(running.bots.map(({ bot }) => bot)).not.toContain(second);
    expect(running.version).not.toBe(all.version);
    expect(await fleet.plan({ selector: { tenant }, change: { version: null } })).toMatchObject({
      bots: [],
      unchanged: 2,
    });
    expect(await fleet.standing()).toEqual(before);
  });

  it('chooses by present version, by name and by runtime', async () => {
    const { names } = await fleet.bots(3);
    const [first = ''] = names;
    await fleet.runtime.query(`UPDATE scheduler.bots SET version = 'v2' WHERE name = $1`, [first]);
    const chosen = async (selector: object) =>
      (await fleet.plan({ selector, change: { parameters: { n: 1 } } })).bots.map(({ bot }) => bot).sort();
    expect(await chosen({ version: 'v2' })).toEqual([first]);
    expect(await chosen({ version: null })).toEqual(names.slice(1));
    expect(await chosen({ bots: names.slice(0, 2) })).toEqual(names.slice(0, 2));
    expect(await chosen({ runtime: 'mt5' })).toEqual([]);
    await expect(chosen({ bots: ['nobody'] })).rejects.toMatchObject({ code: 'bot_not_found' });
  });

  it('is carried out as it was looked at, or not at all', async () => {
    const { tenant, names } = await fleet.bots(2);
    const request = { selector: { tenant }, change: { version: 'v2' } };
    const { version } = await fleet.plan(request);
    await changePart(names[0] ?? '');
    await expect(fleet.create({ ...request, version })).rejects.toMatchObject({ code: 'stale_plan' });
    const other = await fleet.plan(request);
    await expect(
      fleet.create({ ...request, options: { canary: 0 }, version: other.version }),
    ).rejects.toMatchObject({ code: 'stale_plan' });
    await expect(fleet.start({ selector: { tenant }, change: { version: null } })).rejects.toMatchObject({
      code: 'invalid_transition',
    });
    await expect(fleet.start({ selector: { tenant }, change: { version: 'v9' } })).rejects.toMatchObject({
      code: 'version_not_offered',
    });
    expect(await fleet.runtime.query('SELECT 1 FROM scheduler.rollouts')).toEqual([]);
  });
});

describe('a rollout', () => {
  it('changes the canary, then batch after batch, each bot on its host, and ends its operation', async () => {
    await fleet.host();
    const { tenant, names } = await fleet.bots(12);
    const hostOf = async () =>
      new Map((await fleet.runtime.allocations()).map((row) => [row.bot, row.host] as const));
    const before = await hostOf();
    const rollout = await fleet.start({ selector: { tenant }, change: { version: 'v2' }, options });
    expect(await operationOf(rollout)).toMatchObject({ state: 'running', done: 0, total: 12 });

    const inFlight: number[] = [];
    const done = await fleet.until(rollout.id, (now) => {
      inFlight.push(now.progress.changing);
      return ended(now);
    });
    expect(done).toMatchObject({ state: 'succeeded', reason: null, progress: { total: 12, healthy: 12 } });
    expect(Math.max(...inFlight)).toBe(5);
    const batches = [0, 1, 2, 3].map((batch) => done.targets.filter((t) => t.batch === batch).length);
    expect(batches).toEqual([1, 5, 5, 1]);
    expect((await fleet.standing()).every((bot) => bot.version === 'v2' && bot.generation === 2)).toBe(true);
    // Where their volumes are.
    expect(await hostOf()).toEqual(before);
    expect(await operationOf(rollout)).toEqual({ state: 'succeeded', done: 12, failed: 0, total: 12 });
    expect(await fleet.runtime.eventsOf(rollout.id)).toEqual([
      'tradefleet.rollout.created',
      ...Array.from({ length: 4 }, () => 'tradefleet.rollout.batch-started'),
      'tradefleet.rollout.succeeded',
    ]);
    const updated = (await fleet.runtime.outbox()).filter(
      ({ event }) => event?.type === 'tradefleet.bot.updated',
    );
    expect(updated).toHaveLength(names.length);
    expect(updated.every(({ event }) => event?.actor === asker.actor)).toBe(true);
  });

  it("in a full fleet takes nobody's place and loses none to those that wait", async () => {
    // The host has 4000 millicores.
    const { tenant } = await fleet.bots(8, { resources: { cpuMillis: 500, memoryMiB: 128, pids: 32 } });
    const waiting = await fleet.runtime.bot();
    for (let turn = 0; turn < 3; turn += 1) await fleet.turn();
    const rollout = await fleet.start({
      selector: { tenant },
      change: { version: 'v2' },
      options: { ...options, batchSize: 3 },
    });
    expect(await fleet.until(rollout.id, ended)).toMatchObject({ state: 'succeeded' });
    expect(await fleet.runtime.allocations(waiting.name)).toEqual([]);
  });

  it('of a broken version reverts the canary and never touches the others', async () => {
    const { tenant } = await fleet.bots(30);
    const before = await fleet.standing();
    const rollout = await fleet.start({ selector: { tenant }, change: { version: 'broken' }, options });
    const done = await fleet.until(rollout.id, ended);
    const [canary] = done.targets;
    expect(done).toMatchObject({
      state: 'reverted',
      reason: `The canary ${canary?.bot} failed.`,
      progress: { total: 30, reverted: 1, waiting: 29, failed: 0 },
    });
    expect(canary).toMatchObject({
      state: 'reverted',
      reason: 'exited: It ended with 1.',
      changedGeneration: 2,
      revertedGeneration: 3,
    });
    const after = await fleet.standing();
    expect(after.filter(({ name }) => name !== canary?.bot)).toEqual(
      before.filter(({ name }) => name !== canary?.bot),
    );
    expect(after.find(({ name }) => name === canary?.bot)).toMatchObject({ version: null, generation: 3 });
    expect(await operationOf(rollout)).toEqual({ state: 'failed', done: 30, failed: 1, total: 30 });
    expect(await fleet.runtime.eventsOf(rollout.id)).toEqual([
      'tradefleet.rollout.created',
      'tradefleet.rollout.batch-started',
      'tradefleet.rollout.reverting',
      'tradefleet.rollout.reverted',
    ]);
  });

  it('that fails later goes back in batches, whole definitions, and leaves alone what a person changed', async () => {
    const { tenant, names } = await fleet.bots(8);
    const bad = names[4] ?? '';
    fleet.fate = (row) =>
      row.bot === bad && row.version === 'v2' ? brokenExits({ ...row, version: 'broken' }) : {};
    const rollout = await fleet.start({
      selector: { tenant },
      change: { version: 'v2', parameters: { lots: 1 }, policies: { stopGraceMs: 1 } },
      options: { ...options, batchSize: 2 },
    });
    await fleet.until(rollout.id, ({ progress }) => progress.healthy >= 2);
    const mine = names[1] ?? '';
    await changePart(mine);
    let most = 0;
    const done = await fleet.until(rollout.id, (now) => {
      most = Math.max(most, now.progress.changing + now.progress.reverting);
      return ended(now);
    });
    expect(done).toMatchObject({ state: 'reverted', reason: `Failed: ${bad}.`, progress: { skipped: 1 } });
    expect(most).toBeLessThanOrEqual(2);
    const rows = await fleet.runtime.query<{ name: string; version: string | null; parameters: object }>(
      `SELECT name, version, parameters, policies->>'stopGraceMs' AS grace FROM scheduler.bots ORDER BY name`,
    );
    const touched = new Set(done.targets.filter((t) => t.changedGeneration !== null).map((t) => t.bot));
    expect(touched.size).toBeGreaterThan(2);
    for (const row of rows) {
      if (row.name === mine)
        expect(row).toMatchObject({ version: 'v2', parameters: { by: 'hand' }, grace: '1' });
      else expect(row).toMatchObject({ version: null, parameters: {}, grace: '5000' });
    }
    expect(done.targets.find((t) => t.bot === mine)?.reason).toContain('Somebody else');
  });

  it('without autoRevert stops where it is, and its bots are free for another one', async () => {
    const { tenant } = await fleet.bots(4);
    const rollout = await fleet.start({
      selector: { tenant },
      change: { version: 'broken' },
      options: { ...options, autoRevert: false },
    });
    await expect(fleet.start({ selector: { tenant }, change: { version: 'v2' } })).rejects.toMatchObject({
      code: 'rollout_conflict',
    });
    expect((await fleet.plan({ selector: { tenant }, change: { version: 'v2' } })).bots[0]?.conflict).toBe(
      rollout.id,
    );
    const failed = await fleet.until(rollout.id, ended);
    expect(failed).toMatchObject({ state: 'failed', progress: { failed: 1, waiting: 3 } });
    expect((await fleet.standing()).filter((bot) => bot.version === 'broken')).toHaveLength(1);

    const cure = await fleet.start({ selector: { tenant }, change: { version: 'v2' }, options });
    expect(await fleet.until(cure.id, ended)).toMatchObject({ state: 'succeeded' });
  });

  it('fails a bot that does not become ready in time', async () => {
    const { tenant } = await fleet.bots(2);
    fleet.fate = ({ version }) => (version === 'v2' ? { state: 'starting' } : {});
    const rollout = await fleet.start({
      selector: { tenant },
      change: { version: 'v2' },
      options: { ...options, progressDeadlineMs: 10_000 },
    });
    const begun_ms = clock.wallMs();
    const back = await fleet.until(rollout.id, ({ state }) => state === 'reverting');
    expect(clock.wallMs() - begun_ms).toBeGreaterThanOrEqual(10_000);
    expect(back.targets[0]?.reason).toBe('It was not healthy within 10000 ms.');
    expect(await fleet.until(rollout.id, ended)).toMatchObject({ state: 'reverted' });
  });
});

describe('a person', () => {
  const someBatches = async () => {
    const { tenant } = await fleet.bots(9);
    return await fleet.start({
      selector: { tenant },
      change: { version: 'v2' },
      options: { ...options, batchSize: 2, progressDeadlineMs: 10_000 },
    });
  };

  it('pauses a rollout, which then changes nothing however long it takes, and resumes it', async () => {
    const rollout = await someBatches();
    await fleet.until(rollout.id, ({ batch }) => batch === 1);
    const paused = await fleet.service.pause({ id: rollout.id, reason: 'lunch' }, asker);
    expect(paused).toMatchObject({ state: 'paused', reason: 'lunch' });
    await expect(fleet.service.pause({ id: rollout.id }, asker)).rejects.toMatchObject({
      code: 'invalid_transition',
    });
    for (let turn = 0; turn < 15; turn += 1) await fleet.turn();
    expect(await fleet.get(rollout.id)).toMatchObject({
      state: 'paused',
      progress: { healthy: 3, changing: 0, waiting: 6 },
    });
    expect(await fleet.service.resume({ id: rollout.id }, asker)).toMatchObject({
      state: 'running',
      reason: null,
    });
    expect(await fleet.until(rollout.id, ended)).toMatchObject({ state: 'succeeded' });
    const told = await fleet.runtime.eventsOf(rollout.id);
    expect(told).toContain('tradefleet.rollout.paused');
    expect(told).toContain('tradefleet.rollout.resumed');
  });

  it('aborts a rollout: what was changed stays, and nothing more is touched', async () => {
    const rollout = await someBatches();
    await fleet.until(rollout.id, ({ batch }) => batch === 1);
    expect(await fleet.service.abort({ id: rollout.id, revert: false }, asker)).toMatchObject({
      state: 'aborted',
      progress: { waiting: 6 },
    });
    for (let turn = 0; turn < 10; turn += 1) await fleet.turn();
    expect((await fleet.standing()).filter((bot) => bot.version === 'v2')).toHaveLength(3);
    expect(await operationOf(rollout)).toMatchObject({ state: 'superseded', done: 9, failed: 0 });
    await expect(fleet.service.resume({ id: rollout.id }, asker)).rejects.toMatchObject({
      code: 'invalid_transition',
    });
  });

  it('aborts a rollout and has it go back, in their name', async () => {
    const rollout = await someBatches();
    await fleet.until(rollout.id, ({ batch }) => batch === 2);
    const other = { ...asker, actor: 'user:night' };
    expect(await fleet.service.abort({ id: rollout.id, revert: true }, other)).toMatchObject({
      state: 'reverting',
    });
    expect(await fleet.until(rollout.id, ended)).toMatchObject({
      state: 'reverted',
      progress: { reverted: 5, waiting: 4 },
    });
    const standing = await fleet.standing();
    expect(standing.every((bot) => bot.version === null)).toBe(true);
    expect(standing.filter((bot) => bot.generation === 1)).toHaveLength(4);
    const actors = (await fleet.runtime.outbox())
      .filter(({ event }) => event?.type === 'tradefleet.bot.updated')
      .map(({ event }) => event?.actor);
    expect(actors.slice(-5)).toEqual(Array.from({ length: 5 }, () => 'user:night'));
  });

  it('sees what is under way', async () => {
    const rollout = await someBatches();
    const { rollouts } = await fleet.service.list({ state: 'running', limit: 10 });
    expect(rollouts).toMatchObject([{ id: rollout.id, progress: { total: 9, waiting: 9 }, by: 'user:ops' }]);
    await expect(fleet.service.get({ id: '00000000-0000-7000-8000-000000000000' })).rejects.toMatchObject({
      code: 'rollout_not_found',
    });
  });
});

it('goes on although one before it cannot', async () => {
  const { names } = await fleet.bots(2);
  const [first = '', second = ''] = names;
  const one = { change: { version: 'v2' }, options: { ...options, canary: 0 } };
  const stuck = await fleet.start({ ...one, selector: { bots: [first] } });
  const other = await fleet.start({ ...one, selector: { bots: [second] } });
  await fleet.runtime.query(
    `ALTER TABLE scheduler.bots ADD CONSTRAINT keeps_its_version CHECK (name <> '${first}' OR version IS NULL)`,
  );
  expect(await fleet.until(other.id, ended)).toMatchObject({ state: 'succeeded' });
  expect(await fleet.get(stuck.id)).toMatchObject({ state: 'running', batch: null });

  await fleet.runtime.query('ALTER TABLE scheduler.bots DROP CONSTRAINT keeps_its_version');
  expect(await fleet.until(stuck.id, ended)).toMatchObject({ state: 'succeeded' });
});

it('goes on under another leader where the first one was, at every step', async () => {
  const { tenant } = await fleet.bots(6);
  const rollout = await fleet.start({
    selector: { tenant },
    change: { version: 'v2' },
    options: { ...options, batchSize: 2 },
  });
  for (let leaders = 0; leaders < 6; leaders += 1) {
    await fleet.until(rollout.id, ({ progress }) => progress.healthy > leaders || progress.healthy === 6);
    // The first one is gone in the middle of a batch; the next begins with nothing in its memory.
    await fleet.turn();
    await fleet.runtime.leadership.resign();
    const next = await RolloutFleet.scheduler({ databaseUrl, nats, clock });
    schedulers.push(next);
    fleet.runtime = next;
    await fleet.rejoin();
  }
  expect(await fleet.until(rollout.id, ended)).toMatchObject({
    state: 'succeeded',
    progress: { healthy: 6 },
  });
  // Every bot was changed once, and replaced once.
  expect((await fleet.standing()).every((bot) => bot.generation === 2)).toBe(true);
  const [row] = await fleet.runtime.query<{ most: number }>(
    'SELECT max(epoch) AS most FROM scheduler.allocations',
  );
  expect(row?.most).toBe(2);
});

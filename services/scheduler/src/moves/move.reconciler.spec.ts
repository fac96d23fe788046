import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { newId, PrepareCommand, signatureHeader, type EventData } from '#libs/contracts';
import { SigningKey, verifySignature } from '#libs/messaging';
import { startNats, startPostgres, VirtualClock, type TestNats, type TestPostgres } from '#libs/testing';
import { AllocationService } from '../allocations/allocation.service.js';
import { asDelivery, SignedHost } from '../heartbeats/signed-host.harness.js';
import { migratedDatabase, RuntimeHarness, seen } from '../runtime.harness.js';
import { ReconciliationRepository } from '../reconciliation/reconciliation.repository.js';
import { MovePlanning } from './move-planning.service.js';
import { MoveReconciler } from './move.reconciler.js';
import type { NewMove } from './move.rows.js';
import { MoveService } from './move.service.js';
import { PreparationProjectionService } from './preparation-projection.service.js';

const prepare_ms = 5000;
const small = { cpuMillis: 100, memoryMiB: 128, bots: 1 };

let nats: TestNats;
let postgres: TestPostgres;
let clock: VirtualClock;
let databaseUrl: string;
let runtime: RuntimeHarness;
let host: SignedHost;

const begin = async (movePrepareMs = prepare_ms): Promise<RuntimeHarness> =>
  RuntimeHarness.start({ databaseUrl, nats, clock, config: { movePrepareMs } });

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
  runtime = await begin();
  host = await aHost();
});
afterEach(async () => {
  await runtime.stop();
});

async function aHost(over: Parameters<typeof SignedHost.create>[0] = {}): Promise<SignedHost> {
  const made = await SignedHost.create(over);
  await runtime.register(made);
  return made;
}

async function running(bot: string, on: SignedHost = host) {
  await runtime.pass();
  const placed = await runtime.allocation(bot);
  await runtime.heartbeat(on, [seen(placed)]);
  return runtime.allocation(bot);
}

async function drain(
  of: SignedHost,
  over: { prepare?: boolean; parallel?: number; deadlineMs?: number; onDeadline?: 'keep' | 'stop' } = {},
): Promise<void> {
  const { prepare = true, parallel = 5, deadlineMs, onDeadline = 'keep' } = over;
  const now = new Date(clock.wallMs());
  await runtime.query(
    `UPDATE scheduler.hosts SET state = 'draining', drain_reason = 'disk', drain_by = 'user:ops', drain_at = $2,
       drain_prepare = $3, drain_parallel = $4, drain_deadline_at = $5, drain_on_deadline = $6, drain_total = 1
     WHERE name = $1`,
    [
      of.name,
      now,
      prepare,
      parallel,
      deadlineMs === undefined ? null : new Date(clock.wallMs() + deadlineMs),
      onDeadline,
    ],
  );
}

interface MoveRow {
  id: string;
  account: string;
  to_host: string;
  state: string;
  prepare: boolean;
  prepared: boolean;
  detail: string | null;
  gap_ms: number | null;
}
const movesOf = async (bot: string): Promise<MoveRow[]> =>
  runtime.query<MoveRow>('SELECT * FROM scheduler.moves WHERE bot = $1 ORDER BY created_at, id', [bot]);
async function moveOf(bot: string): Promise<MoveRow> {
  const move = (await movesOf(bot)).at(-1);
  if (move === undefined) throw new Error(`${bot} has no move.`);
  return move;
}

/** What the target says of its preparation, as it reaches the scheduler. Gives the reasons of what was given up. */
async function say(
  by: SignedHost,
  move: MoveRow,
  code: EventData<'tradefleet.move.prepare-failed'>['code'] = null,
  signer?: SigningKey,
): Promise<string[]> {
  const type = code === null ? 'tradefleet.move.prepared' : 'tradefleet.move.prepare-failed';
  // What a host says goes into the database, whatever it is.
  const detail = code === null ? null : 'no \0disk \ud800';
  const data = { move: move.id, host: by.name, account: move.account, code, detail, tookMs: 3 };
  const rejected: string[] = [];
  const delivery = asDelivery(await by.preparation(type, data, signer), rejected);
  await runtime.app.get(PreparationProjectionService).project([delivery]);
  return rejected;
}

const moved = async (): Promise<EventData<'tradefleet.bot.moved'>[]> =>
  (await runtime.outbox()).flatMap(({ event, body }) =>
    event?.type === 'tradefleet.bot.moved' ? [JSON.parse(body) as EventData<'tradefleet.bot.moved'>] : [],
  );
const told = async (bot: string): Promise<boolean> =>
  (await runtime.allocation(bot)).stop_reason !== null || (await runtime.allocations(bot)).length > 1;

describe('a bot on a draining host', () => {
  it('is stopped once the target is ready, runs there, and the gap is told', async () => {
    const bot = await runtime.bot();
    const old = await running(bot.name);
    const other = await aHost();
    await drain(host);
    await runtime.pass();
    const move = await moveOf(bot.name);
    expect(move).toMatchObject({ state: 'preparing', to_host: other.name, prepared: false });
    const sent = (await runtime.outbox()).find(({ subject }) => subject?.endsWith('.prepare') === true);
    expect(sent?.subject).toBe(`fleet.v1.host.${other.name}.cmd.prepare`);
    const command = PrepareCommand.parse(JSON.parse(sent?.body ?? ''));
    expect(command).toMatchObject({
      move: move.id,
      host: other.name,
      account: bot.account,
      actor: 'user:ops',
    });
    const signature = sent?.headers?.[signatureHeader];
    await verifySignature(Buffer.from(sent?.body ?? ''), signature, runtime.signingKey.publicJwk);
    await runtime.pass();
    expect(await told(bot.name)).toBe(false);

    expect(await say(other, move)).toEqual([]);
    await runtime.pass();
    expect((await moveOf(bot.name)).state).toBe('switching');
    expect(await runtime.commandsOf(old.id)).toEqual(['start', 'stop']);
    await runtime.pass();
    // The old one may still trade.
    expect(await runtime.allocations(bot.name)).toHaveLength(1);

    await runtime.heartbeat(host, [seen(old, { state: 'stopped' })]);
    await runtime.pass();
    const placed = await runtime.allocation(bot.name);
    expect(placed).toMatchObject({ host: other.name, epoch: 2, state: 'placed' });
    await clock.advance(700);
    await runtime.heartbeat(other, [seen(placed)]);
    await runtime.pass();
    expect(await moveOf(bot.name)).toMatchObject({ state: 'done', prepared: true, gap_ms: 700 });
    expect(await moved()).toEqual([
      expect.objectContaining({
        bot: bot.name,
        from: host.name,
        to: other.name,
        gapMs: 700,
        prepared: true,
        why: 'drain',
        detail: null,
      }),
    ]);
    expect(await runtime.eventsOf(host.name)).toContain('tradefleet.host.drained');
    await runtime.pass();
    expect(
      (await runtime.eventsOf(host.name)).filter((type) => type === 'tradefleet.host.drained'),
    ).toHaveLength(1);
  });

  it('is stopped at once when nothing is to be prepared', async () => {
    const bot = await runtime.bot();
    const old = await running(bot.name);
    const other = await aHost();
    await drain(host, { prepare: false });
    await runtime.pass();
    expect(await runtime.commandsOf(old.id)).toEqual(['start', 'stop']);
    await runtime.heartbeat(host, [seen(old, { state: 'stopped' })]);
    await runtime.pass();
    await runtime.heartbeat(other, [seen(await runtime.allocation(bot.name))]);
    await runtime.pass();
    expect(await moved()).toEqual([expect.objectContaining({ prepared: false, to: other.name })]);
  });

  it('goes on when a scheduler begins in any place where another one ended', async () => {
    const bot = await runtime.bot();
    const old = await running(bot.name);
    const other = await aHost();
    const again = async (): Promise<void> => {
      await runtime.stop();
      runtime = await begin();
      await runtime.heartbeat(
        host,
        old.state === 'running' ? [seen(await runtime.allocation(bot.name))] : [],
      );
      await runtime.heartbeat(other, []);
      await runtime.pass();
    };
    await drain(host);
    await runtime.pass();
    await again();
    expect((await moveOf(bot.name)).state).toBe('preparing');
    await say(other, await moveOf(bot.name));
    await again();
    expect((await moveOf(bot.name)).state).toBe('switching');
    await runtime.heartbeat(host, [seen(old, { state: 'stopped' })]);
    await runtime.stop();
    runtime = await begin();
    // It places nothing before every host has shown what it knows of earlier leaders.
    await runtime.heartbeat(host, []);
    await runtime.heartbeat(other, []);
    await runtime.pass();
    const placed = await runtime.allocation(bot.name);
    expect(placed).toMatchObject({ host: other.name, epoch: 2 });
    await runtime.heartbeat(other, [seen(placed)]);
    await runtime.pass();
    expect(await movesOf(bot.name)).toHaveLength(1);
    expect(await moveOf(bot.name)).toMatchObject({ state: 'done', prepared: true });
  });

  it('goes on where it is when no other can take it, and says why', async () => {
    const bot = await runtime.bot();
    const allocation = await running(bot.name);
    await drain(host);
    await runtime.pass();
    expect(await runtime.commandsOf(allocation.id)).toEqual(['start']);
    const queue = async () =>
      runtime.query<{ queued_reason: string | null }>(
        'SELECT queued_reason FROM scheduler.bots WHERE name = $1',
        [bot.name],
      );
    expect(await queue()).toEqual([
      { queued_reason: `Host ${host.name} is draining, and no other can take it: There is no host.` },
    ]);
    await runtime.query(
      `UPDATE scheduler.hosts SET state = 'ready', drain_at = NULL, drain_by = NULL, drain_reason = NULL`,
    );
    await runtime.pass();
    expect(await queue()).toEqual([{ queued_reason: null }]);
  });

  it('has its room held, for nobody else, and no more move than others can take', async () => {
    await runtime.bots(3);
    await runtime.pass();
    const rows = await runtime.allocations();
    const other = await aHost({ capacity: small });
    const all = rows.map((row) => seen(row));
    await runtime.heartbeat(host, all);
    await drain(host);
    await runtime.pass();
    const planned = await runtime.query<MoveRow & { bot: string }>('SELECT * FROM scheduler.moves');
    expect(planned).toHaveLength(1);
    const [move] = planned;
    if (move === undefined) throw new Error('nothing moves');
    const newcomer = await runtime.bot();
    await runtime.pass();
    expect(await runtime.allocations(newcomer.name)).toEqual([]);

    await say(other, move);
    await runtime.pass();
    const old = await runtime.allocation(move.bot);
    await runtime.heartbeat(
      host,
      rows.map((row) => seen(row, row.id === old.id ? { state: 'stopped' } : {})),
    );
    await runtime.pass();
    expect(await runtime.allocation(move.bot)).toMatchObject({ host: other.name, epoch: 2, state: 'placed' });
    expect(await runtime.allocations(newcomer.name)).toEqual([]);
    expect((await runtime.allocations()).filter((row) => row.stop_reason !== null)).toHaveLength(1);
  });

  it('is one of a few at a time', async () => {
    await runtime.bots(4);
    await runtime.pass();
    await runtime.heartbeat(
      host,
      (await runtime.allocations()).map((row) => seen(row)),
    );
    await aHost();
    await drain(host, { parallel: 2 });
    await runtime.pass();
    await runtime.pass();
    expect(await runtime.query('SELECT 1 FROM scheduler.moves')).toHaveLength(2);
  });
});

describe('room on a target', () => {
  it('is not held twice by two that plan at the same time', async () => {
    const bots = await runtime.bots(4);
    await runtime.pass();
    await runtime.heartbeat(
      host,
      (await runtime.allocations()).map((row) => seen(row)),
    );
    const other = await aHost({ capacity: { ...small, bots: 2, cpuMillis: 1000, memoryMiB: 1024 } });
    const newMoves = async (some: readonly { name: string }[]): Promise<NewMove[]> =>
      Promise.all(
        some.map(async ({ name }) => ({
          id: newId(),
          allocation: (await runtime.allocation(name)).id,
          to: other.name,
          reason: 'rebalance' as const,
          operation: null,
          by: 'user:ops',
          prepare: true,
          detail: null,
        })),
      );
    const service = runtime.app.get(MoveService);
    const planned = await Promise.all(
      [bots.slice(0, 2), bots.slice(2)].map(async (some) => service.plan(await newMoves(some))),
    );
    // Each was chosen when the target was empty.
    expect(planned.toSorted()).toEqual([0, 2]);
    await runtime.pass();
    const rows = await runtime.query<MoveRow>('SELECT * FROM scheduler.moves');
    expect(rows.map(({ state }) => state)).toEqual(['preparing', 'preparing']);
  });

  it('that went to another bot since it was looked at is not held, and the bot goes on', async () => {
    const bot = await runtime.bot();
    const old = await running(bot.name);
    const other = await aHost({ capacity: small });
    await drain(host, { prepare: false });
    const newcomer = await runtime.bot();
    const planning = runtime.app.get(MovePlanning);
    const plan = planning.plan.bind(planning);
    planning.plan = async (tx, moves, now) => {
      // Between the choice and the plan.
      await runtime.app
        .get(AllocationService)
        .place([{ bot: newcomer.name, generation: 1, host: other.name, fresh: true }]);
      return plan(tx, moves, now);
    };
    await runtime.app.get(MoveReconciler).reconcile();
    planning.plan = plan;
    expect((await runtime.allocation(newcomer.name)).host).toBe(other.name);
    expect(await movesOf(bot.name)).toEqual([]);
    expect(await runtime.commandsOf(old.id)).toEqual(['start']);
  });
});

describe('a target that was not reached', () => {
  it('is asked again, and the move goes on with its answer, long before its time is up', async () => {
    await runtime.stop();
    runtime = await begin(120_000);
    const bot = await runtime.bot();
    await runtime.heartbeat(host);
    const old = await running(bot.name);
    const other = await aHost();
    await drain(host);
    const asked = async (): Promise<PrepareCommand[]> =>
      (await runtime.outbox())
        .filter(({ subject }) => subject?.endsWith('.prepare') === true)
        .map(({ body }) => PrepareCommand.parse(JSON.parse(body)));
    const after = async (ms: number): Promise<number> => {
      await clock.advance(ms);
      await runtime.heartbeat(host, [seen(old)]);
      await runtime.heartbeat(other, []);
      await runtime.pass();
      return (await asked()).length;
    };
    await runtime.pass();
    expect(await asked()).toHaveLength(1);
    // The first command is lost: nobody answers.
    await runtime.query(`DELETE FROM scheduler.outbox WHERE subject LIKE '%.prepare'`);
    expect(await after(9_999)).toBe(0);
    expect(await after(1)).toBe(1);
    expect(await after(9_999)).toBe(1);
    const [again] = await asked();
    const move = await moveOf(bot.name);
    expect(again).toMatchObject({ move: move.id, host: other.name });
    // It has no more time than it had before.
    expect(again?.expiresAt).toBe(new Date(clock.wallMs() - 19_999 + 120_000).toISOString());
    expect(await told(bot.name)).toBe(false);

    await say(other, move);
    expect(await after(60_000)).toBe(1);
    expect(await movesOf(bot.name)).toHaveLength(1);
    expect(await moveOf(bot.name)).toMatchObject({ state: 'switching', prepared: true });
  });

  it('is asked a bounded number of times', async () => {
    await runtime.stop();
    runtime = await begin(120_000);
    const bot = await runtime.bot();
    await runtime.heartbeat(host);
    const old = await running(bot.name);
    const other = await aHost();
    await drain(host);
    await runtime.pass();
    const first = (await moveOf(bot.name)).id;
    for (let second = 0; second < 240; second += 5) {
      await clock.advance(5000);
      await runtime.heartbeat(host, [seen(old)]);
      await runtime.heartbeat(other, []);
      await runtime.pass();
    }
    const asked = (await runtime.outbox()).filter(
      ({ subject, body }) => subject?.endsWith('.prepare') === true && body.includes(first),
    );
    expect(asked).toHaveLength(12);
    expect((await movesOf(bot.name))[0]).toMatchObject({ state: 'failed' });
  });
});

describe('a target that does not get ready', () => {
  it('is passed over for another, and after two the bot goes without, which is told', async () => {
    const bot = await runtime.bot();
    const old = await running(bot.name);
    const others = [await aHost(), await aHost(), await aHost()];
    await drain(host);
    await runtime.pass();
    const first = await moveOf(bot.name);
    const byName = new Map(others.map((other) => [other.name, other]));
    const target = (move: MoveRow): SignedHost => {
      const found = byName.get(move.to_host);
      if (found === undefined) throw new Error('no such target');
      return found;
    };
    await say(target(first), first, 'prepare-failed');
    expect(await moveOf(bot.name)).toMatchObject({
      state: 'failed',
      detail: `${first.to_host} could not get ready: no  disk \ufffd`,
    });
    await clock.advance(10);
    await runtime.pass();
    const second = await moveOf(bot.name);
    expect(second.state).toBe('preparing');
    expect(second.to_host).not.toBe(first.to_host);
    expect(await told(bot.name)).toBe(false);

    // This one says nothing at all.
    await clock.advance(prepare_ms);
    await runtime.heartbeat(host, [seen(old)]);
    for (const other of others) await runtime.heartbeat(other, []);
    await runtime.pass();
    await runtime.pass();
    expect((await movesOf(bot.name)).map(({ state }) => state)).toEqual(['failed', 'failed', 'switching']);
    const third = await moveOf(bot.name);
    expect(third).toMatchObject({ prepare: false, prepared: false });
    expect(third.detail).toBe(
      `Moved unprepared: ${second.to_host}: ${second.to_host} did not get ready in time.`,
    );
    await runtime.heartbeat(host, [seen(old, { state: 'stopped' })]);
    await runtime.pass();
    await runtime.heartbeat(target(third), [seen(await runtime.allocation(bot.name))]);
    await runtime.pass();
    expect(await moved()).toEqual([expect.objectContaining({ prepared: false, detail: third.detail })]);
  });

  it('for want of the image is not gone to at all', async () => {
    const bot = await runtime.bot();
    await running(bot.name);
    const other = await aHost();
    await drain(host);
    await runtime.pass();
    await say(other, await moveOf(bot.name), 'image-missing');
    await runtime.pass();
    await runtime.pass();
    expect(await movesOf(bot.name)).toHaveLength(1);
    expect(await told(bot.name)).toBe(false);
    const [row] = await runtime.query<{ queued_reason: string }>(
      'SELECT queued_reason FROM scheduler.bots WHERE name = $1',
      [bot.name],
    );
    expect(row?.queued_reason).toContain(`Without its image: ${other.name}.`);
  });

  it('is believed only for itself, and only with its own signature', async () => {
    const bot = await runtime.bot();
    await running(bot.name);
    const [other, third] = [await aHost(), await aHost({ runtimes: [] })];
    await drain(host);
    await runtime.pass();
    const move = await moveOf(bot.name);
    expect(move.to_host).toBe(other.name);
    expect(await say(other, move, null, await SigningKey.generate())).toEqual([
      expect.stringMatching(/^bad_signature/),
    ]);
    // Signed by a host that the move is not for.
    expect(await say(third, move)).toEqual([]);
    expect(await say(third, move, 'prepare-failed')).toEqual([]);
    expect(await say(other, { ...move, account: 'another' })).toEqual([]);
    await runtime.pass();
    expect((await moveOf(bot.name)).state).toBe('preparing');
  });

  it('because it has gone down is left, and the room there with it', async () => {
    const bot = await runtime.bot();
    const old = await running(bot.name);
    const other = await aHost();
    await drain(host);
    await runtime.pass();
    await say(other, await moveOf(bot.name));
    await runtime.query(`UPDATE scheduler.hosts SET state = 'down' WHERE name = $1`, [other.name]);
    await runtime.pass();
    expect(await moveOf(bot.name)).toMatchObject({ state: 'failed', detail: `${other.name} is down.` });
    expect(await runtime.commandsOf(old.id)).toEqual(['start']);
    const third = await aHost();
    await clock.advance(10);
    await runtime.pass();
    expect(await moveOf(bot.name)).toMatchObject({ state: 'preparing', to_host: third.name });
  });

  it('because it has gone down in the midst of it: the bot runs elsewhere', async () => {
    const bot = await runtime.bot();
    const old = await running(bot.name);
    const other = await aHost();
    await drain(host);
    await runtime.pass();
    await say(other, await moveOf(bot.name));
    await runtime.pass();
    const third = await aHost();
    await runtime.query(`UPDATE scheduler.hosts SET state = 'down' WHERE name = $1`, [other.name]);
    await runtime.heartbeat(host, [seen(old, { state: 'stopped' })]);
    await runtime.pass();
    const placed = await runtime.allocation(bot.name);
    expect(placed).toMatchObject({ host: third.name, epoch: 2 });
    await runtime.heartbeat(third, [seen(placed)]);
    await runtime.pass();
    expect(await moved()).toEqual([expect.objectContaining({ to: third.name, prepared: false })]);
  });
});

describe('a move is cancelled, and the bot left alone,', () => {
  it.each<[string, (bot: { name: string; account: string }) => Promise<unknown>]>([
    ['when the bot should not run any more', async ({ name }) => runtime.change(name, 'stopped')],
    [
      'when its account is locked',
      async ({ account }) =>
        runtime.query(
          `UPDATE scheduler.accounts SET locked_at = now(), locked_by = 'user:risk', locked_reason = 'loss'
           WHERE name = $1`,
          [account],
        ),
    ],
    [
      'when the drain is ended',
      async () =>
        runtime.query(
          `UPDATE scheduler.hosts SET state = 'ready', drain_at = NULL, drain_by = NULL, drain_reason = NULL
           WHERE name = $1`,
          [host.name],
        ),
    ],
    ['when the bot is changed', async ({ name }) => runtime.change(name, 'running')],
  ])('%s', async (_, happens) => {
    const bot = await runtime.bot();
    const old = await running(bot.name);
    const other = await aHost();
    await drain(host);
    await runtime.pass();
    const move = await moveOf(bot.name);
    await happens(bot);
    await runtime.pass();
    expect((await moveOf(bot.name)).state).toBe('cancelled');
    expect(await runtime.eventsOf(move.id)).toEqual(['tradefleet.move.planned', 'tradefleet.move.cancelled']);
    // What comes too late changes nothing.
    await say(other, move);
    await runtime.pass();
    expect((await movesOf(bot.name)).filter(({ state }) => state === 'switching')).toEqual([]);
    expect((await runtime.commandsOf(old.id)).filter((verb) => verb === 'stop').length).toBeLessThanOrEqual(
      1,
    );
  });

  it('when it has ended by itself', async () => {
    const bot = await runtime.bot();
    const old = await running(bot.name);
    await aHost();
    await drain(host);
    await runtime.pass();
    await runtime.heartbeat(host, [seen(old, { state: 'failed', reason: 'exited', exitCode: 1 })]);
    await runtime.pass();
    expect((await moveOf(bot.name)).state).toBe('cancelled');
    expect(await runtime.commandsOf(old.id)).toEqual(['start']);
  });
});

describe('the deadline of a drain', () => {
  it('that stops: what is not ready goes unprepared, what no host can take is stopped', async () => {
    const [first, second] = await runtime.bots(2);
    if (first === undefined || second === undefined) throw new Error('no bots');
    await runtime.pass();
    const rows = await runtime.allocations();
    const all = rows.map((row) => seen(row));
    await runtime.heartbeat(host, all);
    const other = await aHost({ capacity: small });
    await drain(host, { deadlineMs: 3000, onDeadline: 'stop' });
    await runtime.pass();
    expect(rows.map(({ id }) => id)).toHaveLength(2);
    expect((await runtime.allocations()).filter((row) => row.stop_reason !== null)).toEqual([]);

    await clock.advance(3000);
    await runtime.heartbeat(host, all);
    await runtime.heartbeat(other, []);
    await runtime.pass();
    expect((await runtime.allocations()).filter((row) => row.stop_reason !== null)).toHaveLength(2);
    expect(await runtime.eventsOf(host.name)).toContain('tradefleet.host.drain-overdue');
    await runtime.heartbeat(
      host,
      rows.map((row) => seen(row, { state: 'stopped' })),
    );
    await runtime.pass();
    const [move] = await runtime.query<MoveRow & { bot: string }>('SELECT * FROM scheduler.moves');
    expect(move).toMatchObject({
      state: 'switching',
      prepared: false,
      detail: 'The time of the drain was up before the target was ready.',
    });
    expect(await runtime.allocation(move?.bot ?? '')).toMatchObject({ host: other.name, epoch: 2 });
    expect(await runtime.eventsOf(host.name)).toContain('tradefleet.host.drained');
  });

  it('that keeps: what no host can take goes on trading', async () => {
    const bot = await runtime.bot();
    const old = await running(bot.name);
    await drain(host, { deadlineMs: 3000, onDeadline: 'keep' });
    await runtime.pass();
    await clock.advance(3000);
    await runtime.heartbeat(host, [seen(old)]);
    await runtime.pass();
    await runtime.pass();
    expect(await runtime.commandsOf(old.id)).toEqual(['start']);
    const events = await runtime.eventsOf(host.name);
    expect(events.filter((type) => type === 'tradefleet.host.drain-overdue')).toHaveLength(1);
    expect(events).not.toContain('tradefleet.host.drained');
    // Room that comes later is still taken.
    const other = await aHost();
    await runtime.pass();
    expect(await moveOf(bot.name)).toMatchObject({ state: 'preparing', to_host: other.name });
  });
});

it('hosts being drained take turns, so that what cannot leave one hides nothing of another', async () => {
  await runtime.bots(3);
  await runtime.pass();
  const other = await aHost();
  await clock.advance(1000);
  const [lone] = await runtime.bots(1);
  await runtime.pass();
  expect(await runtime.allocation(lone?.name ?? '')).toMatchObject({ host: other.name });
  await drain(host);
  await drain(other);
  const staying = await runtime.app.get(ReconciliationRepository).staying(new Date(clock.wallMs()), 2);
  expect(new Set(staying.map(({ host: name }) => name))).toEqual(new Set([host.name, other.name]));
});

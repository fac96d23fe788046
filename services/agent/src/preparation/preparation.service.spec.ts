import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { PrepareCommand } from '#libs/contracts';
import { SigningKey } from '#libs/messaging';
import { aPrepareCommand, startNats, waitFor, type TestNats } from '#libs/testing';
import { DriverError, type Driver, type PrepareStep, type TaskSpec } from '../drivers/driver.js';
import { PreparationsRepository } from '../state/preparations.repository.js';
import { AgentFixture } from '../testing/agent.fixture.js';
import {
  PreparationService,
  preparations_parallel_max,
  preparations_waiting_max,
} from './preparation.service.js';

let nats: TestNats;
let fixture: AgentFixture;

beforeAll(async () => {
  nats = await startNats();
});
afterAll(async () => {
  await nats.stop();
});
beforeEach(async () => {
  fixture = await AgentFixture.make(nats.url);
});
afterEach(async () => {
  await fixture.close();
});

interface Call {
  readonly step: PrepareStep | 'start';
  readonly task: TaskSpec;
}

/** Writes down what is asked of the driver, and lets a test hold up or fail a preparation. */
function watched(calls: Call[], before: (call: Call) => Promise<void> = async () => undefined): Driver {
  const driver = fixture.driver();
  return new Proxy<Driver>(driver, {
    get: (target, name) => {
      if (name === 'prepare')
        return async (step: PrepareStep, task: TaskSpec) => {
          calls.push({ step, task });
          await before({ step, task });
          await target.prepare(step, task);
        };
      if (name === 'start')
        return async (task: TaskSpec) => {
          calls.push({ step: 'start', task });
          return await target.start(task);
        };
      const value: unknown = Reflect.get(target, name);
      return typeof value === 'function' ? (value.bind(target) as unknown) : value;
    },
  });
}

const prepare = (fields: Partial<PrepareCommand> = {}): PrepareCommand =>
  aPrepareCommand({ host: fixture.host, ...fields });

describe('a preparation', () => {
  it('makes image and volume ready, says so, and runs nothing', async () => {
    const calls: Call[] = [];
    await fixture.start({}, watched(calls));
    const command = prepare({ runtime: 'paper', version: '2026.11' });
    await fixture.scheduler.send(command);
    expect(await fixture.scheduler.heard(command.move, 'prepared')).toMatchObject({
      move: command.move,
      host: fixture.host,
      account: command.account,
      code: null,
      detail: null,
    });
    expect(calls.map(({ step }) => step)).toEqual(['image', 'volume']);
    expect(calls[0]?.task).toMatchObject({ account: command.account, version: '2026.11', epoch: 0 });
    // Nothing has the name of the account on this engine, and no heartbeat tells of anything.
    expect(fixture.engine.ofAccount(command.account)).toBeNull();
    expect(fixture.scheduler.heartbeats.every((beat) => beat.allocations.length === 0)).toBe(true);
    expect(fixture.scheduler.grants).toEqual([]);
  });

  it('that was not signed by the scheduler is refused and told of', async () => {
    const calls: Call[] = [];
    await fixture.start({}, watched(calls));
    const command = prepare();
    const signature = await (await SigningKey.generate()).sign(Buffer.from(JSON.stringify(command)));
    await fixture.scheduler.send(command, { signature });
    await fixture.scheduler.send(prepare({ host: 'elsewhere' }));
    await fixture.scheduler.send(prepare({ expiresAt: '2020-01-01T00:00:00.000Z' }));
    const codes = await waitFor(() => {
      const rejected = fixture.scheduler.events.filter((e) => e.type === 'tradefleet.command.rejected');
      return rejected.length === 3
        ? rejected.map(({ data }) => ('code' in data ? data.code : null))
        : undefined;
    });
    expect([...codes].sort()).toEqual(['bad_signature', 'command_expired', 'wrong_host']);
    expect(calls).toEqual([]);
  });

  it('says why it cannot be made', async () => {
    const missing = new DriverError('image-missing', 'image of runtime paper is not on this host', false);
    await fixture.start(
      {},
      watched([], async ({ step }) => {
        if (step === 'image') throw missing;
      }),
    );
    const command = prepare();
    await fixture.scheduler.send(command);
    expect(await fixture.scheduler.heard(command.move, 'prepare-failed')).toMatchObject({
      code: 'image-missing',
      detail: 'image of runtime paper is not on this host',
    });
  });

  it('is made once for two commands at the same time', async () => {
    const calls: Call[] = [];
    let open = (): void => undefined;
    const gate = new Promise<void>((resolve) => (open = resolve));
    await fixture.start(
      {},
      watched(calls, async () => await gate),
    );
    const command = prepare();
    await fixture.scheduler.send(command);
    await waitFor(() => calls.length === 1);
    const again = prepare({ move: command.move, account: command.account });
    await fixture.scheduler.send(again);
    open();
    await fixture.scheduler.heard(command.move, 'prepared');
    // The second one came while it was made or just after: no work in either case.
    expect(calls.map(({ step }) => step)).toEqual(['image', 'volume']);
  });

  it('that is made is told again to who asks again, at once and without any work, by the next agent too', async () => {
    const calls: Call[] = [];
    await fixture.start({}, watched(calls));
    const command = prepare();
    const again = { move: command.move, account: command.account };
    await fixture.scheduler.send(command);
    await fixture.scheduler.heard(command.move, 'prepared');
    await fixture.scheduler.send(prepare(again));
    await waitFor(() => fixture.scheduler.told(command.move).length === 2, { what: 'told twice' });
    await fixture.stop();
    await fixture.start({}, watched(calls));
    await fixture.scheduler.send(prepare(again));
    await waitFor(() => fixture.scheduler.told(command.move).length === 3, { what: 'told three times' });
    expect(fixture.scheduler.told(command.move)).toEqual(['prepared', 'prepared', 'prepared']);
    expect(calls.map(({ step }) => step)).toEqual(['image', 'volume']);
  });

  it('that failed is tried again for who asks again', async () => {
    const calls: Call[] = [];
    await fixture.start(
      {},
      watched(calls, async () => {
        if (calls.length === 1) throw new DriverError('image-missing', 'not here yet', false);
      }),
    );
    const command = prepare();
    await fixture.scheduler.send(command);
    await fixture.scheduler.heard(command.move, 'prepare-failed');
    await fixture.scheduler.send(prepare({ move: command.move, account: command.account }));
    await fixture.scheduler.heard(command.move, 'prepared');
    expect(calls.map(({ step }) => step)).toEqual(['image', 'image', 'volume']);
  });

  it('that has come too late to be of use says so', async () => {
    const calls: Call[] = [];
    // Within the skew of two clocks it is taken, and there is no time left for it.
    await fixture.start({}, watched(calls));
    const command = prepare({ expiresAt: new Date(Date.now() - 1000).toISOString() });
    await fixture.scheduler.send(command);
    expect(await fixture.scheduler.heard(command.move, 'prepare-failed')).toMatchObject({ code: 'expired' });
    expect(calls).toEqual([]);
  });

  it('holds up no start, and few are made at a time', async () => {
    const calls: Call[] = [];
    const moves = new Set<string>();
    let open = (): void => undefined;
    const gate = new Promise<void>((resolve) => (open = resolve));
    await fixture.start(
      { lanesWorkingMax: 1 },
      watched(calls, async ({ task }) => {
        if (moves.has(task.allocation)) await gate;
      }),
    );
    const commands = Array.from({ length: 4 }, () => prepare());
    for (const { move } of commands) moves.add(move);
    for (const command of commands) await fixture.scheduler.send(command);
    await waitFor(() => calls.length === preparations_parallel_max);

    const start = fixture.command();
    await fixture.scheduler.send(start);
    await fixture.scheduler.heard(start.allocation, 'running');
    expect(calls.filter(({ task }) => moves.has(task.allocation))).toHaveLength(preparations_parallel_max);
    open();
    for (const { move } of commands) await fixture.scheduler.heard(move, 'prepared');
  });

  it('is refused when too many wait, but for one that is known', async () => {
    const calls: Call[] = [];
    let open = (): void => undefined;
    const gate = new Promise<void>((resolve) => (open = resolve));
    await fixture.start(
      {},
      watched(calls, async () => await gate),
    );
    const waiting = Array.from({ length: preparations_waiting_max }, () => prepare());
    await Promise.all(waiting.map(async (command) => await fixture.scheduler.send(command)));
    const preparations = fixture.part(PreparationsRepository);
    await waitFor(() => preparations.countWanted() === preparations_waiting_max, { timeoutMs: 20_000 });

    const [known = prepare()] = waiting;
    await fixture.scheduler.send(prepare({ move: known.move, account: known.account }));
    const beyond = prepare();
    await fixture.scheduler.send(beyond);
    expect(await fixture.scheduler.heard(beyond.move, 'prepare-failed')).toMatchObject({ code: 'too-many' });
    expect(fixture.scheduler.told(known.move)).toEqual([]);
    expect(calls).toHaveLength(preparations_parallel_max);
    open();
    await waitFor(() => preparations.countWanted() === 0, { timeoutMs: 20_000 });
  });

  it('is gone on with by the next agent of the host', async () => {
    let open = (): void => undefined;
    const gate = new Promise<void>((resolve) => (open = resolve));
    const first: Call[] = [];
    await fixture.start(
      {},
      watched(first, async () => await gate),
    );
    const command = prepare();
    await fixture.scheduler.send(command);
    await waitFor(() => first.length === 1);
    const closing = fixture.part(PreparationService).close();
    open();
    await closing;
    await fixture.stop();
    expect(fixture.scheduler.told(command.move)).toEqual([]);

    const second: Call[] = [];
    await fixture.start({}, watched(second));
    await fixture.scheduler.heard(command.move, 'prepared');
    expect(second.map(({ step }) => step)).toEqual(['image', 'volume']);
    // Its own events only: it was told of once.
    expect(fixture.scheduler.told(command.move)).toEqual(['prepared']);
  });
});

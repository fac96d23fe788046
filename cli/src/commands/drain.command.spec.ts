import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { newId, type Drain, type Host, type Move } from '#libs/contracts';
import { aHostRegister } from '#libs/testing';
import { runCli } from '../testing/cli.runner.js';
import { GatewayDouble } from '../testing/gateway.double.js';

let gateway: GatewayDouble;
beforeEach(async () => {
  gateway = await new GatewayDouble().start();
});
afterEach(() => gateway.stop());

const at = '2026-01-01T00:00:00.000Z';
const aDrain = (over: Partial<Drain> = {}): Drain => ({
  reason: 'new disk',
  by: 'user:admin',
  at,
  deadlineAt: null,
  onDeadline: 'keep',
  prepare: true,
  parallel: 5,
  total: 2,
  moved: 0,
  moving: 1,
  waiting: 1,
  endedAt: null,
  ...over,
});
const { labels, driver, runtimes, capacity, signingKey, agentVersion, incarnation } = aHostRegister();
const aHost = (drain: Drain | null): Host => ({
  ...{ labels, driver, runtimes, capacity, signingKey, agentVersion, incarnation },
  name: 'h1',
  state: drain === null ? 'ready' : 'draining',
  operatorLabels: {},
  reserved: { cpuMillis: 200, memoryMiB: 256, bots: 2 },
  overcommitted: false,
  fingerprint: null,
  generation: 2,
  registeredAt: at,
  lastHeartbeatAt: at,
  drain,
});
const aMove = (over: Partial<Move> = {}): Move => ({
  id: newId(),
  bot: 'b1',
  tenant: 't1',
  account: 'a1',
  from: 'h1',
  to: 'h2',
  reason: 'drain',
  state: 'done',
  prepared: true,
  prepareBy: null,
  gapMs: 800,
  detail: null,
  operation: null,
  by: 'user:admin',
  createdAt: '2026-01-01T00:00:01.000Z',
  updatedAt: '2026-01-01T00:00:02.000Z',
  ...over,
});

describe('hosts drain', () => {
  it('asks for what its options say', async () => {
    gateway.answers = { 'hosts.drain': () => aHost(aDrain()) };
    const args = ['--reason', 'disk', '--deadline', '10m', '--on-deadline', 'stop', '--no-prepare'];
    const ran = await runCli(['hosts', 'drain', 'h1', ...args, '--parallel', '3'], { gateway });
    expect(ran.code).toBe(0);
    expect(gateway.of('hosts.drain')[0]?.request).toMatchObject({
      name: 'h1',
      reason: 'disk',
      deadlineMs: 600_000,
      onDeadline: 'stop',
      prepare: false,
      parallel: 3,
    });
  });

  it('leaves to the scheduler what is not said', async () => {
    gateway.answers = { 'hosts.drain': () => aHost(aDrain()) };
    await runCli(['hosts', 'drain', 'h1', '--reason', 'disk'], { gateway });
    expect(gateway.of('hosts.drain')[0]?.request).toMatchObject({
      onDeadline: 'keep',
      prepare: true,
      parallel: 5,
    });
  });

  it('waits, shows how far it is, and how long bots did not run', async () => {
    const hosts = [
      aHost(aDrain()),
      aHost(aDrain({ moved: 1, waiting: 0 })),
      aHost(aDrain({ moved: 2, moving: 0, waiting: 0, endedAt: at })),
    ];
    gateway.answers = {
      'hosts.drain': () => aHost(aDrain()),
      'hosts.get': () => hosts.shift() ?? aHost(null),
      'moves.list': () => ({
        // An earlier drain's is not counted.
        moves: [
          aMove(),
          aMove({ gapMs: 1200 }),
          aMove({ gapMs: 9000, createdAt: '2025-12-31T00:00:00.000Z' }),
        ],
        next: null,
      }),
    };
    const ran = await runCli(['hosts', 'drain', 'h1', '--reason', 'disk', '--wait'], { gateway });
    expect(ran.code).toBe(0);
    expect(ran.stderr).toContain('h1: 0 of 2 bots moved, 1 on their way, 1 waiting');
    expect(ran.stderr).toContain('h1: 1 of 2 bots moved, 1 on their way, 0 waiting');
    expect(ran.stdout).toContain(
      'Host h1 is empty: 2 bots have left. They did not run for 1.2 s at the median, 1.2 s at most.',
    );
  });

  it.each<[string, Drain | null, string]>([
    [
      'its deadline has passed and bots stay',
      aDrain({ deadlineAt: at, moving: 0, waiting: 2 }),
      'The deadline has passed: 2 of 2 bots are still on host h1',
    ],
    ['somebody ended it', null, 'The drain of host h1 was ended.'],
  ])('with --wait says when %s', async (_, drain, text) => {
    gateway.answers = {
      'hosts.drain': () => aHost(aDrain()),
      'hosts.get': () => aHost(drain),
      'moves.list': () => ({ moves: [], next: null }),
    };
    const ran = await runCli(['hosts', 'drain', 'h1', '--reason', 'disk', '--wait'], { gateway });
    expect(ran.code).toBe(4);
    expect(ran.stdout).toContain(text);
  });
});

describe('rebalance', () => {
  const version = 'a'.repeat(64);
  const moves = [{ bot: 'b1', generation: 1, from: 'h1', to: 'h2' }];
  const hosts = [
    { host: 'h1', before: 60, after: 35, capacity },
    { host: 'h2', before: 10, after: 35, capacity },
  ];
  const planned = { version, moves, hosts, spread: { before: 50, after: 0 } };

  it('shows the plan and carries out just that', async () => {
    gateway.answers = {
      'fleet.rebalance-plan': () => planned,
      'fleet.rebalance': () => ({ operation: newId(), moves }),
    };
    const ran = await runCli(['rebalance', '--yes', '--moves', '5', '--ran-for', '1m'], { gateway });
    expect(ran.code).toBe(0);
    expect(ran.stdout).toMatch(/h1 +60\.0 +35\.0/);
    expect(ran.stdout).toMatch(/b1 +h1 +h2/);
    expect(ran.stdout).toContain('1 bots are moved; hosts then differ by 0.0 % instead of 50.0 %.');
    expect(gateway.of('fleet.rebalance')[0]?.request).toMatchObject({
      version,
      movesMax: 5,
      tolerancePercent: 10,
      ranForMs: 60_000,
      prepare: true,
    });
  });

  it('asks nothing of anybody without a terminal, and changes nothing when there is nothing to move', async () => {
    expect((await runCli(['rebalance'], { gateway })).code).toBe(2);
    gateway.answers = { 'fleet.rebalance-plan': () => ({ ...planned, moves: [] }) };
    const ran = await runCli(['rebalance', '--yes'], { gateway });
    expect(ran.code).toBe(0);
    expect(ran.stdout).toContain('Nothing to move');
    expect(gateway.of('fleet.rebalance')).toEqual([]);
  });
});

describe('moves list', () => {
  it('shows the gap of each', async () => {
    gateway.answers = {
      'moves.list': () => ({ moves: [aMove({ id: 'b8d0f2a4-1111-4222-8333-944455556666' })], next: null }),
    };
    const ran = await runCli(['moves', 'list', '--host', 'h1'], { gateway });
    expect(ran.stdout).toMatch(/b1 +h1 +h2 +drain +done +yes +0\.8 s/);
    expect(gateway.of('moves.list')[0]?.request).toMatchObject({ host: 'h1' });
  });
});

import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { newId, ProblemError, type Allocation, type Operation } from '#libs/contracts';
import { aBot } from '#libs/testing';
import { runCli } from '../testing/cli.runner.js';
import { GatewayDouble } from '../testing/gateway.double.js';

let gateway: GatewayDouble;
beforeEach(async () => {
  gateway = await new GatewayDouble().start();
});
afterEach(() => gateway.stop());

const anOperation = (state: Operation['state'], done = 1): Operation => ({
  id: newId(),
  kind: 'bots.create',
  state,
  by: 'user:admin',
  progress: { done, failed: state === 'failed' ? 1 : 0, total: 1 },
  targets: [
    { bot: 'b1', generation: 1, goal: 'running', state, reason: state === 'failed' ? 'exited' : null },
  ],
  createdAt: '2026-01-01T00:00:00.000Z',
  updatedAt: '2026-01-01T00:00:00.000Z',
});

describe('bots create', () => {
  it('makes the request that its options say', async () => {
    gateway.answers = { 'bots.create': () => ({ operation: newId(), bot: aBot({ name: 'b1' }) }) };
    const ran = await runCli(
      [
        ...['bots', 'create', 'b1', '--account', 'a1', '--runtime', 'paper', '--stopped'],
        ...[
          '--param',
          'symbol=EURUSD',
          '--param',
          'fast=12',
          '--param',
          'live=true',
          '--param',
          'code="007"',
        ],
        ...['--constraint', 'zone in eu-1,eu-2', '--memory-mib', '256', '--anti-affinity', 'prefer'],
      ],
      { gateway },
    );
    expect(ran.stderr).toBe('');
    expect(ran.stdout).toMatch(/^Bot b1 is to be running \(generation 1\): operation [0-9a-f-]{36}\n$/);
    expect(gateway.of('bots.create')[0]?.request).toMatchObject({
      name: 'b1',
      account: 'a1',
      desired: 'stopped',
      parameters: { symbol: 'EURUSD', fast: 12, live: true, code: '007' },
      constraints: [{ label: 'zone', operator: 'in', values: ['eu-1', 'eu-2'] }],
      resources: { memoryMiB: 256 },
      policies: { antiAffinity: 'prefer' },
    });
  });

  it.each([
    ['succeeded', 0],
    ['failed', 4],
    ['superseded', 4],
  ] as const)('with --wait an operation that %s ends with %d', async (state, code) => {
    const answers = [anOperation('running', 0), anOperation(state)];
    gateway.answers = {
      'bots.create': () => ({ operation: newId(), bot: aBot() }),
      'operations.wait': () => answers.shift() ?? new ProblemError('internal', 'Asked once too often.'),
    };
    const args = ['bots', 'create', 'b1', '--account', 'a1', '--runtime', 'paper', '--wait', '--json'];
    const ran = await runCli(args, { gateway });
    expect(ran.code).toBe(code);
    const lines = ran.stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as { state?: string });
    expect(lines.map((line) => line.state)).toEqual([undefined, state]);
  });
});

describe('bots update', () => {
  it('changes single parameters under the generation it read', async () => {
    const bot = aBot({ name: 'b1', generation: 7, parameters: { symbol: 'EURUSD', fast: 5, slow: 20 } });
    gateway.answers = { 'bots.get': () => bot, 'bots.update': () => ({ operation: newId(), bot }) };
    await runCli(['bots', 'update', 'b1', '--param', 'fast=8', '--unset-param', 'slow'], { gateway });
    expect(gateway.of('bots.update')[0]?.request).toMatchObject({
      name: 'b1',
      expectedGeneration: 7,
      parameters: { symbol: 'EURUSD', fast: 8 },
    });
  });

  it('names nothing that was not given', async () => {
    gateway.answers = { 'bots.update': () => ({ operation: newId(), bot: aBot() }) };
    await runCli(['bots', 'update', 'b1', '--stop-grace-ms', '0', '--no-constraints'], { gateway });
    const { idempotencyKey, ...request } = gateway.of('bots.update')[0]?.request ?? {};
    expect(request).toEqual({ name: 'b1', policies: { stopGraceMs: 0 }, constraints: [] });
    expect(idempotencyKey).toBeDefined();
  });

  it('sets how it is tried again, whole, and refuses what would never give up', async () => {
    gateway.answers = { 'bots.update': () => ({ operation: newId(), bot: aBot() }) };
    await runCli(['bots', 'update', 'b1', '--restart', '{"attempts":5}'], { gateway });
    expect(gateway.of('bots.update')[0]?.request).toMatchObject({
      policies: { restart: { attempts: 5, windowMs: 600_000, backoff: 'exponential' } },
    });
    const endless = '{"attempts":5,"windowMs":1000}';
    const refused = await runCli(['bots', 'update', 'b1', '--reschedule', endless], { gateway });
    expect(refused).toMatchObject({ code: 2, stderr: expect.stringContaining('windowMs') });
  });

  it('refuses to take away a parameter that is not there', async () => {
    gateway.answers = { 'bots.get': () => aBot({ name: 'b1' }) };
    expect(await runCli(['bots', 'update', 'b1', '--unset-param', 'x'], { gateway })).toMatchObject({
      code: 2,
      stderr: 'b1 has no parameter x.\n',
    });
  });
});

describe('bots get', () => {
  it('says which attempt it is in, how the one before ended, and that it was given up', async () => {
    const now = '2026-01-01T00:00:00.000Z';
    const exit = {
      attempt: 1,
      reason: 'exited',
      detail: null,
      exitCode: 70,
      at: now,
      nextTryAt: now,
    } as const;
    const allocation: Allocation = {
      ...{ id: newId(), bot: 'b1', account: 'a1', tenant: 't1', host: 'h1', epoch: 4, botGeneration: 1 },
      ...{ state: 'failed', stage: null, attempt: 2, lastExit: exit, reason: 'exited', detail: null },
      ...{ exitCode: 71, createdAt: now, updatedAt: now, runningAt: null, endedAt: now },
    };
    const bot = aBot({ name: 'b1' });
    const status = { ...bot.status, phase: 'failed', allocation, failures: 3, gaveUpAt: now } as const;
    gateway.answers = { 'bots.get': () => ({ ...bot, status }) };
    const { stdout } = await runCli(['bots', 'get', 'b1'], { gateway });
    expect(stdout).toMatch(/attempt +2/);
    expect(stdout).toMatch(/last exit +exited, exit code 70, at 2026/);
    expect(stdout).toMatch(/gave up +2026/);
    expect(stdout).toMatch(/failures +3/);
  });
});

describe('operations wait', () => {
  it('ends with 5 when the time is up, and says how to go on', async () => {
    const running = anOperation('running', 0);
    gateway.answers = { 'operations.wait': () => running };
    const ran = await runCli(['operations', 'wait', running.id, '--timeout', '1'], { gateway });
    expect(ran.code).toBe(5);
    expect(ran.stderr).toContain(`tradefleet operations wait ${running.id}`);
  });

  it('bears with a scheduler that restarts', async () => {
    const answers = [new ProblemError('unavailable', 'Away.'), anOperation('succeeded')];
    gateway.answers = {
      'operations.wait': () => answers.shift() ?? new ProblemError('internal', 'Too often.'),
    };
    const ran = await runCli(['operations', 'wait', newId()], { gateway });
    expect(ran.code).toBe(0);
    expect(ran.stderr).toContain('the scheduler does not answer');
  });

  it('ends with 130 at Ctrl-C', async () => {
    const running = anOperation('running', 0);
    const interrupted = new AbortController();
    gateway.answers = {
      'operations.wait': () => {
        interrupted.abort();
        return running;
      },
    };
    const options = { gateway, interrupted: interrupted.signal };
    expect((await runCli(['operations', 'wait', running.id], options)).code).toBe(130);
  });
});

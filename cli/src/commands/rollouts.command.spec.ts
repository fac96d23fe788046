import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { newId, RolloutOptions, type Rollout, type RolloutPlanned } from '#libs/contracts';
import { runCli } from '../testing/cli.runner.js';
import { GatewayDouble } from '../testing/gateway.double.js';

let gateway: GatewayDouble;
beforeEach(async () => {
  gateway = await new GatewayDouble().start();
});
afterEach(() => gateway.stop());

const version = 'b'.repeat(64);
const id = newId();
const bot = (name: string, batch: number): RolloutPlanned['bots'][number] => ({
  bot: name,
  tenant: 'acme',
  runtime: 'paper',
  generation: 1,
  desired: 'running',
  batch,
  fields: [{ path: 'version', from: null, to: 'v2' }],
  restarts: true,
  conflict: null,
});
const plan: RolloutPlanned = {
  version,
  bots: [bot('b1', 0), bot('b2', 1)],
  unchanged: 1,
  offered: [{ runtime: 'paper@v2', hosts: 2 }],
};
const rollout = (over: Partial<Rollout> = {}): Rollout => ({
  id,
  operation: newId(),
  state: 'running',
  reason: null,
  change: { version: 'v2' },
  options: RolloutOptions.parse({}),
  batch: 0,
  progress: {
    total: 2,
    waiting: 1,
    changing: 1,
    healthy: 0,
    failed: 0,
    skipped: 0,
    reverting: 0,
    reverted: 0,
  },
  by: 'user:admin',
  createdAt: '2026-01-01T00:00:00.000Z',
  updatedAt: '2026-01-01T00:00:00.000Z',
  endedAt: null,
  targets: [],
  ...over,
});
const target = (over: Partial<Rollout['targets'][number]>): Rollout['targets'][number] => ({
  bot: 'b1',
  state: 'reverted',
  batch: 0,
  reason: 'exited: It ended with 1.',
  generation: 1,
  changedGeneration: 2,
  revertedGeneration: 3,
  healthySince: null,
  updatedAt: '2026-01-01T00:00:00.000Z',
  ...over,
});

describe('rollouts', () => {
  it('plans: shows bots by batch, what restarts and who offers it', async () => {
    gateway.answers = { 'rollouts.plan': () => plan };
    const args = ['--tenant', 'acme', '--from-default-version', '--version', 'v2', '--unset-param', 'slow'];
    const ran = await runCli(['rollouts', 'plan', ...args, '--healthy', '5s', '--no-auto-revert'], {
      gateway,
    });
    expect(ran).toEqual({
      code: 0,
      stderr: '',
      stdout: [
        'canary',
        '  b1 (restarts)  version: nothing -> "v2"',
        'batch 1',
        '  b2 (restarts)  version: nothing -> "v2"',
        'paper@v2 is offered by 2 ready hosts.',
        '2 bots to change, 2 restart, 1 unchanged.',
        '',
      ].join('\n'),
    });
    expect(gateway.of('rollouts.plan')[0]?.request).toMatchObject({
      selector: { tenant: 'acme', version: null, onlyRunning: true },
      change: { version: 'v2', parameters: { slow: null } },
      options: { minHealthyMs: 5000, autoRevert: false },
    });
  });

  it('starts what it has shown, and waits until it has ended', async () => {
    let asked = 0;
    const reverted = rollout({
      state: 'reverted',
      reason: 'The canary b1 failed.',
      endedAt: '2026-01-01T00:01:00.000Z',
      targets: [target({}), target({ bot: 'b2', state: 'waiting', batch: null, reason: null })],
    });
    gateway.answers = {
      'rollouts.plan': () => plan,
      'rollouts.create': () => rollout(),
      'rollouts.get': () => ((asked += 1) === 1 ? rollout() : reverted),
    };
    const ran = await runCli(['rollouts', 'start', '--version', 'v2', '--yes', '--wait'], { gateway });
    expect(ran.code).toBe(4);
    expect(ran.stderr).toBe('canary: 1 waiting, 1 changing of 2\n');
    expect(ran.stdout).toContain(`Started: rollout ${id}`);
    expect(ran.stdout).toContain('The canary b1 failed.');
    expect(ran.stdout).toMatch(/b1 +canary +reverted +exited: It ended with 1\./);
    expect(gateway.of('rollouts.create')[0]?.request).toMatchObject({ version, change: { version: 'v2' } });
  });

  it('asks before it starts, and starts nothing on a no or without a terminal', async () => {
    gateway.answers = { 'rollouts.plan': () => plan, 'rollouts.create': () => rollout() };
    const no = await runCli(['rollouts', 'start', '--version', 'v2'], {
      gateway,
      terminal: true,
      typed: ['n'],
    });
    expect(no.code).toBe(1);
    expect(no.stderr).toContain('Change 2 bots, of which 2 restart?');
    expect((await runCli(['rollouts', 'start', '--version', 'v2'], { gateway })).code).toBe(2);
    expect((await runCli(['rollouts', 'plan', '--tenant', 'acme'], { gateway })).code).toBe(2);
    expect(gateway.of('rollouts.create')).toEqual([]);
  });

  it('lists, shows, pauses, resumes and aborts', async () => {
    const { targets, ...summary } = rollout();
    expect(targets).toEqual([]);
    gateway.answers = {
      'rollouts.list': () => ({ rollouts: [summary], next: null }),
      'rollouts.get': () => rollout(),
      'rollouts.pause': () => rollout({ state: 'paused' }),
      'rollouts.resume': () => rollout(),
      'rollouts.abort': () => rollout({ state: 'reverting' }),
    };
    const run = async (...args: string[]) => await runCli(['rollouts', ...args], { gateway });
    expect((await run('list')).stdout).toContain('version v2');
    expect((await run('get', id)).stdout).toContain('canary: 1 waiting, 1 changing of 2');
    expect((await run('pause', id, '--reason', 'lunch')).stdout).toContain('is paused:');
    expect((await run('resume', id)).code).toBe(0);
    expect((await run('abort', id, '--revert')).stdout).toContain('is reverting:');
    expect(gateway.of('rollouts.pause')[0]?.request).toMatchObject({ id, reason: 'lunch' });
    expect(gateway.of('rollouts.abort')[0]?.request).toMatchObject({ id, revert: true });
  });
});

import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { aBot } from '#libs/testing';
import { runCli } from '../testing/cli.runner.js';
import { GatewayDouble } from '../testing/gateway.double.js';

let gateway: GatewayDouble;
beforeEach(async () => {
  gateway = await new GatewayDouble().start();
  const status = {
    phase: 'running',
    reason: null,
    host: 'host-a',
    allocation: null,
    observation: null,
    failures: 0,
    nextTryAt: null,
    gaveUpAt: null,
  } as const;
  const since = '2026-01-01T00:00:00.000Z';
  gateway.answers = {
    'fleet.leader': () => ({ term: 7, holder: 'scheduler-2/12/ab', since, renewedAt: since }),
    'hosts.list': () => ({ hosts: [], next: null }),
    'bots.list': () => ({ bots: [aBot({ status }), aBot()], next: null }),
  };
});
afterEach(() => gateway.stop());

describe('status', () => {
  it('shows parts, hosts and bots', async () => {
    const { code, stdout } = await runCli(['status'], { gateway });
    expect(code).toBe(0);
    expect(stdout).toContain(`gateway ${gateway.url}\nnats ok\nscheduler ok\n`);
    expect(stdout).toContain('\nleader scheduler-2/12/ab, term 7, since 2026-01-01T00:00:00.000Z\n');
    expect(stdout).toContain('\n1 of 2 bots running, 0 of 0 hosts ready.\n');
  });

  it('ends with 3 when a part does not answer, and shows the rest', async () => {
    gateway.components['audit'] = 'unavailable';
    const { code, stdout } = await runCli(['status', '--json'], { gateway });
    expect(code).toBe(3);
    expect(JSON.parse(stdout)).toMatchObject({ components: { audit: 'unavailable' }, bots: [{}, {}] });
  });

  it('asks for nothing without the scheduler', async () => {
    gateway.components['scheduler'] = 'unavailable';
    expect((await runCli(['status'], { gateway })).code).toBe(3);
    expect(gateway.received).toEqual([]);
  });
});

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { waitFor } from '#libs/testing';
import { FleetHarness } from './testing/fleet.harness.js';
import { aManifest, fastMarket } from './testing/manifests.js';
import { isRunning, processesNaming } from './testing/process.table.js';

/** Where there is no Docker: the same bot as a plain process. */
describe('a fleet without Docker', () => {
  const manifest = aManifest([{ parameters: fastMarket }]);
  const bot = manifest.tenants[0]?.bots?.[0]?.name ?? '';
  let fleet: FleetHarness;

  beforeAll(async () => {
    fleet = await FleetHarness.start({ driver: 'process', hosts: 1, manifest });
  }, 240_000);
  afterAll(async () => {
    await fleet.stop();
  }, 180_000);

  it('runs a bot that trades, and stops it', async () => {
    const allocation = await fleet.untilRuns(bot);
    const { status } = await waitFor(
      async () => {
        const now = await fleet.bot(bot);
        return (now.status.observation?.ordersToday ?? 0) > 0 ? now : null;
      },
      { timeoutMs: 30_000, what: 'an order' },
    );
    expect(status.observation).toMatchObject({ stage: 'trade-allowed' });
    const own = processesNaming(fleet.runDirectory(allocation));
    expect(own.length).toBeGreaterThan(0);
    // No secret in its environment.
    const password = fleet.secret('nats-agent-host-a-password');
    expect(own.some(({ environment }) => environment.join().includes(password))).toBe(false);

    const { operation } = await fleet.gateway.call('bots.stop', { name: bot });
    expect((await fleet.untilEnded(operation)).state).toBe('succeeded');
    expect(own.filter(({ pid }) => isRunning(pid))).toEqual([]);
    await fleet.untilAudited({ bot }, ['allocation.running', 'bot.stop-requested', 'allocation.stopped']);
  });
});

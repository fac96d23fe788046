import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { ApiRequest } from '#libs/contracts';
import { waitFor } from '#libs/testing';
import { FleetHarness } from './testing/fleet.harness.js';
import { aManifest, manyBots } from './testing/manifests.js';

const bots_total = 200;

/** Services are killed in the middle of a big change. What was accepted is done once, what happened is recorded once. */
describe('two hundred bots', () => {
  let fleet: FleetHarness;

  beforeAll(async () => {
    fleet = await FleetHarness.start({ driver: 'simulated', manifest: aManifest([]) });
  }, 240_000);
  afterAll(async () => {
    await fleet.stop();
  }, 180_000);

  const count = async (what: string): Promise<number> =>
    Number((await fleet.sql<{ n: string }>(`SELECT count(*) AS n FROM ${what}`))[0]?.n);

  async function apply(wanted: ApiRequest<'fleet.plan'>['manifest']): Promise<string> {
    const plan = await fleet.gateway.call('fleet.plan', { manifest: wanted });
    return (await fleet.gateway.call('fleet.apply', { manifest: wanted, version: plan.version })).operation;
  }

  it('all run, each placed once, although the scheduler is killed twice meanwhile', async () => {
    const manifest = aManifest(manyBots(bots_total));
    const tenant = manifest.tenants[0]?.name ?? '';
    const running = () => count(`scheduler.allocations WHERE state = 'running' AND tenant = '${tenant}'`);
    const operation = await apply(manifest);
    // Once when all is decided and nothing done, once more when a few run.
    await fleet.kill('scheduler');
    const seen = await waitFor(running, { timeoutMs: 60_000, intervalMs: 1, what: 'the first bot to run' });
    await fleet.kill('scheduler');
    expect(seen).toBeLessThan(bots_total);
    expect(await running()).toBeLessThan(bots_total);

    await waitFor(() => fleet.pidOf('scheduler'), { what: 'the next scheduler' });
    expect(await fleet.untilEnded(operation)).toMatchObject({
      state: 'succeeded',
      progress: { done: bots_total, failed: 0, total: bots_total },
    });
    expect(await running()).toBe(bots_total);
    // One allocation for each account, and that its first: nothing was placed twice, or again.
    const placed = await fleet.sql<{ account: string; epoch: number; state: string }>(
      'SELECT account, epoch, state FROM scheduler.allocations WHERE tenant = $1',
      [tenant],
    );
    expect(placed).toHaveLength(bots_total);
    expect(new Set(placed.map(({ account }) => account)).size).toBe(bots_total);
    expect(placed.every(({ epoch, state }) => epoch === 1 && state === 'running')).toBe(true);
    // Nobody leads for a lease of the leader after each kill, and until the next process is up.
  }, 180_000);

  it('leave every event of the stream in the audit log exactly once, although audit is killed meanwhile', async () => {
    const before = await count('audit.events');
    const operation = await apply(aManifest(manyBots(bots_total)));
    // Some of what follows from the change has been recorded, most has not.
    await waitFor(async () => (await count('audit.events')) > before + 20, {
      timeoutMs: 30_000,
      intervalMs: 1,
      what: 'some events to be recorded',
    });
    await fleet.kill('audit');
    const atKill = await count('audit.events');
    expect((await fleet.untilEnded(operation)).state).toBe('succeeded');
    await waitFor(() => fleet.pidOf('audit'), { what: 'the next audit service' });

    const gateway = await fleet.nats('gateway');
    const { stored, recorded } = await waitFor(
      async () => {
        const inStream = (await gateway.storedEvents()).map(({ id }) => id).sort();
        const inTable = (await fleet.sql<{ id: string }>('SELECT id FROM audit.events')).map(({ id }) => id);
        // Heartbeats make no events, so the stream comes to rest.
        return inStream.length === inTable.length ? { stored: inStream, recorded: inTable.sort() } : null;
      },
      { timeoutMs: 60_000, what: 'the audit log to have as many events as the stream' },
    );
    expect(recorded).toEqual(stored);
    expect(new Set(recorded).size).toBe(recorded.length);
    expect(stored.length).toBeGreaterThan(Math.max(atKill, bots_total * 8));
    expect(await count('audit.quarantine')).toBe(0);
    // Nothing that a producer numbered is missing, and nothing was numbered twice.
    const gaps = await fleet.sql(
      `SELECT source, incarnation FROM audit.events GROUP BY source, incarnation
       HAVING min(sequence) <> 1 OR max(sequence) <> count(*) OR count(DISTINCT sequence) <> count(*)`,
    );
    expect(gaps).toEqual([]);
    // Producers have nothing left to tell.
    expect(await count('scheduler.outbox WHERE published_at IS NULL')).toBe(0);
  });
});

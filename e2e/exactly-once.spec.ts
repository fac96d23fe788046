import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { ApiRequest } from '#libs/contracts';
import { waitFor, withClient } from '#libs/testing';
import { FleetHarness } from './testing/fleet.harness.js';
import { aManifest, manyBots } from './testing/manifests.js';
import { isRunning } from './testing/process.table.js';

const bots_total = 200;
/**
 * A fleet with one scheduler renews nothing from its death until the next process leads: 0.4 s of patience, its start, 5.5 s
 * of watching. That is 9 s of the 12.7 s that a usual lease leaves, and a machine that takes 4 s longer over a start ends all
 * bots, as it should. What is shown here is what is done once, not how fast it is.
 */
const lease_ttl_ms = 120_000;

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

  /** Kills the next scheduler as soon as the query finds something: everything else that takes time is done before. */
  async function killAtFirst(query: string): Promise<void> {
    const pid = await waitFor(() => fleet.pidOf('scheduler'), { what: 'the next scheduler' });
    await withClient(fleet.secret('database-url'), async (client) => {
      const timeoutMs = 90_000;
      await waitFor(async () => (await client.query(query)).rowCount, {
        ...{ timeoutMs, intervalMs: 1, what: 'the first bot to run' },
      });
      process.kill(pid, 'SIGKILL');
    });
    await waitFor(() => !isRunning(pid), { what: 'the scheduler to be dead' });
  }

  it('all run, each placed once, although the scheduler is killed twice meanwhile', async () => {
    const manifest = aManifest(manyBots(bots_total, { policies: { leaseTtlMs: lease_ttl_ms } }));
    const tenant = manifest.tenants[0]?.name ?? '';
    const running = () => count(`scheduler.allocations WHERE state = 'running' AND tenant = '${tenant}'`);
    const operation = await apply(manifest);
    // Once when all is decided and nothing done, once more when a few run.
    await fleet.kill('scheduler');
    await killAtFirst(
      `SELECT 1 FROM scheduler.allocations WHERE state = 'running' AND tenant = '${tenant}' LIMIT 1`,
    );
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
  }, 300_000);

  it('leave every event of the stream in the audit log exactly once, although audit is killed meanwhile', async () => {
    const before = await count('audit.events');
    const operation = await apply(
      aManifest(manyBots(bots_total, { policies: { leaseTtlMs: lease_ttl_ms } })),
    );
    // Some of what follows from the change has been recorded, most has not.
    await waitFor(async () => (await count('audit.events')) > before + 20, {
      timeoutMs: 60_000,
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
      { timeoutMs: 120_000, what: 'the audit log to have as many events as the stream' },
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
    // Producers have nothing left to tell; that the last of it was published is noted a moment later.
    await waitFor(async () => (await count('scheduler.outbox WHERE published_at IS NULL')) === 0, {
      what: 'the outbox to be empty',
    });
  });
});

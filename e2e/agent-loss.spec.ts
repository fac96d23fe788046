import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Allocation, FleetEvent } from '#libs/contracts';
import { waitFor } from '#libs/testing';
import { chmod } from 'node:fs/promises';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { DockerEngine } from './testing/docker.engine.js';
import { FleetHarness } from './testing/fleet.harness.js';
import { aManifest, manyBots } from './testing/manifests.js';

/** The fleet's settings are those of production: T, rho and lock delay of LEASES, in milliseconds. */
const lease_ttl_ms = 15_000;
const clock_drift = 0.001;
const lock_delay_ms = 1000;
/** Exit code of the supervisor when the lease has ended (runtime contract). */
const exit_lease_ended = 75;

/** An agent dies. Bots need it for nothing but the renewal of their leases. */
describe('a host without its agent', () => {
  const engine = new DockerEngine();
  let fleet: FleetHarness;
  let bots: string[];

  beforeAll(async () => {
    const manifest = aManifest(manyBots(4));
    bots = manifest.tenants[0]?.bots?.map(({ name }) => name) ?? [];
    fleet = await FleetHarness.start({ driver: 'docker', manifest });
  }, 240_000);
  afterAll(async () => {
    await fleet.stop();
  }, 180_000);

  /** A host that has bots, and these. Names one that has none as the other. */
  async function aHostWithBots(): Promise<{ host: string; allocations: Allocation[] }> {
    const all = await Promise.all(bots.map((bot) => fleet.untilRuns(bot)));
    const host = all[0]?.host ?? '';
    return { host, allocations: all.filter((allocation) => allocation.host === host) };
  }

  const containersOf = async (allocations: readonly Allocation[]) => {
    const listed = await engine.containers(fleet.name);
    return await Promise.all(
      allocations.map(async ({ id }) => {
        const found = listed.find(({ allocation }) => allocation === id);
        if (found === undefined) throw new Error(`Allocation ${id} has no container`);
        const { Id, State } = await engine.inspect(found.id);
        return { Id, running: State.Running, StartedAt: State.StartedAt };
      }),
    );
  };

  const leaseWrittenAt = (allocation: Allocation): number =>
    (
      JSON.parse(readFileSync(join(fleet.runDirectory(allocation), 'lease.json'), 'utf8')) as {
        writtenBoottimeMs: number;
      }
    ).writtenBoottimeMs;

  it('has its bots run on, and the next agent adopts their containers', async () => {
    const { host, allocations } = await aHostWithBots();
    const before = await containersOf(allocations);
    const leases = allocations.map(leaseWrittenAt);
    const dead = await fleet.kill(`agent-${host}`);
    expect((await containersOf(allocations)).every(({ running }) => running)).toBe(true);

    const next = await waitFor(() => fleet.pidOf(`agent-${host}`), { what: 'the next agent' });
    expect(next).not.toBe(dead);
    for (const { id } of allocations) await fleet.untilAudited({ allocation: id }, ['allocation.adopted']);
    await waitFor(
      () => allocations.every((allocation, n) => leaseWrittenAt(allocation) > (leases[n] ?? Infinity)),
      { timeoutMs: 20_000, what: 'the leases to be renewed' },
    );
    expect(await containersOf(allocations)).toEqual(before);
    for (const { bot, id } of allocations) expect((await fleet.untilRuns(bot)).id).toBe(id);
  });

  it('has its bots end with their leases, and run elsewhere no sooner than these are surely over', async () => {
    const { host, allocations } = await aHostWithBots();
    const watching = new AbortController();
    const ends = await engine.watchEnds(fleet.name, watching.signal);
    // An agent does not start with a password that others can read: so it stays dead until that is put right.
    const password = fleet.keyPath(`nats-agent-${host}-password`);
    await chmod(password, 0o644);
    await fleet.kill(`agent-${host}`);
    const { lastHeartbeatAt } = await fleet.gateway.call('hosts.get', { name: host });
    const heard_ms = Date.parse(lastHeartbeatAt ?? '');

    for (const old of allocations) {
      const moved = await fleet.untilRuns(old.bot, old.epoch);
      expect(moved).toMatchObject({ epoch: old.epoch + 1, account: old.account });
      expect(moved.host).not.toBe(host);
      const end = ends.find(({ allocation }) => allocation === old.id);
      expect(end).toMatchObject({ exitCode: exit_lease_ended });
      const events = await fleet.untilAudited({ account: old.account }, [
        'allocation.running',
        'allocation.lost',
        'allocation.placed',
        'allocation.running',
      ]);
      const lost_ms = timeOf(events, 'lost', old.id);
      expect(lost_ms - heard_ms).toBeGreaterThanOrEqual(lease_ttl_ms * (1 + clock_drift) + lock_delay_ms);
      expect(timeOf(events, 'placed', moved.id)).toBeGreaterThanOrEqual(lost_ms);
      // The bot was dead before its account was given away.
      expect(end?.at_ms).toBeLessThan(lost_ms);
    }
    watching.abort();
    await fleet.untilAudited({ host }, ['host.registered', 'host.down']);
    expect((await fleet.gateway.call('hosts.get', { name: host })).state).toBe('down');

    const elsewhere = await Promise.all(bots.map((bot) => fleet.untilRuns(bot)));
    await chmod(password, 0o600);
    await waitFor(async () => (await fleet.gateway.call('hosts.get', { name: host })).state === 'ready', {
      timeoutMs: 60_000,
      what: 'the host to be ready again',
    });
    await waitFor(
      async () =>
        (await engine.containers(fleet.name))
          .map(({ allocation }) => allocation)
          .sort()
          .join() ===
        elsewhere
          .map(({ id }) => id)
          .sort()
          .join(),
      { what: 'nothing to be left of what was lost' },
    );
    for (const { bot, id } of elsewhere) expect((await fleet.untilRuns(bot)).id).toBe(id);
  });

  const timeOf = (events: readonly FleetEvent[], what: string, allocation: string): number => {
    const found = events.find(
      ({ type, data }) => type === `tradefleet.allocation.${what}` && data['allocation'] === allocation,
    );
    if (found === undefined) throw new Error(`${allocation} was never ${what}`);
    return Date.parse(found.time);
  };
});

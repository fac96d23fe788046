import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Allocation, ApiRequest, FleetEvent } from '#libs/contracts';
import { uniqueLogin, uniqueName, waitFor } from '#libs/testing';
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
/** After the last heartbeat an account may be given away, and not before. */
const surely_over_ms = lease_ttl_ms * (1 + clock_drift) + lock_delay_ms;
/** Exit code of the supervisor when the lease has ended (runtime contract). */
const exit_lease_ended = 75;

/** Parts die and stay dead. Bots need them for nothing but the renewal of their leases. */
describe('a fleet that loses', () => {
  const engine = new DockerEngine();
  let fleet: FleetHarness;
  let bots: string[];
  let tenant: string;

  beforeAll(async () => {
    const manifest = aManifest(manyBots(4));
    bots = manifest.tenants[0]?.bots?.map(({ name }) => name) ?? [];
    tenant = manifest.tenants[0]?.name ?? '';
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

  /** A bot of its own account. */
  async function aBot(policies: NonNullable<ApiRequest<'bots.create'>['policies']>): Promise<string> {
    const [account, bot] = [uniqueName('acc'), uniqueName('bot')];
    await fleet.gateway.call('accounts.create', {
      ...{ name: account, tenant, server: 'Paper-Demo', login: uniqueLogin() },
    });
    const made = await fleet.gateway.call('bots.create', { name: bot, account, runtime: 'paper', policies });
    expect((await fleet.untilEnded(made.operation)).state).toBe('succeeded');
    return bot;
  }

  /** One that would rather not run than run elsewhere. */
  const aPatientBot = async () => await aBot({ onHostLost: 'wait' });

  async function deleteBot(name: string): Promise<void> {
    const { operation } = await fleet.gateway.call('bots.delete', { name });
    expect((await fleet.untilEnded(operation)).state).toBe('succeeded');
  }

  /** Leaves one host for everything to run on while `work` is done; gives what it gives. */
  async function withoutHost<T>(host: string, work: () => Promise<T>): Promise<T> {
    const reason = 'a scenario';
    await fleet.gateway.call('hosts.drain', { name: host, reason });
    const made = await work();
    await waitFor(async () => (await fleet.gateway.call('hosts.get', { name: host })).reserved.bots === 0, {
      timeoutMs: 60_000,
      what: `${host} to be empty`,
    });
    await fleet.gateway.call('hosts.ready', { name: host });
    return made;
  }

  /** A service does not start with a password that others can read: so it stays dead until that is put right. */
  const keepDown = (service: string) => chmod(fleet.keyPath(`nats-${service}-password`), 0o644);
  const letUp = (service: string) => chmod(fleet.keyPath(`nats-${service}-password`), 0o600);

  const containersOf = async (allocations: readonly Allocation[]) => {
    const listed = await engine.containers(fleet.name);
    return await Promise.all(
      allocations.map(async ({ id }) => {
        const found = listed.find(({ allocation }) => allocation === id);
        if (found === undefined) throw new Error(`Allocation ${id} has no container`);
        const inspected = await engine.inspect(found.id);
        if (inspected === null) throw new Error(`The container of allocation ${id} has gone`);
        const { Id, State } = inspected;
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

  it('an agent has its bots run on, and the next agent adopts their containers', async () => {
    // Its lease outlives the slowest start of an agent: what is shown is who goes on, not how soon.
    const bot = await aBot({ leaseTtlMs: 120_000 });
    const allocations = [await fleet.untilRuns(bot)];
    const host = allocations[0]?.host ?? '';
    const before = await containersOf(allocations);
    const leases = allocations.map(leaseWrittenAt);
    const dead = await fleet.kill(`agent-${host}`);
    expect((await containersOf(allocations)).every(({ running }) => running)).toBe(true);

    const next = await waitFor(() => fleet.pidOf(`agent-${host}`), { what: 'the next agent' });
    expect(next).not.toBe(dead);
    for (const { id } of allocations) await fleet.untilAudited({ allocation: id }, ['allocation.adopted']);
    await waitFor(
      () => allocations.every((allocation, n) => leaseWrittenAt(allocation) > (leases[n] ?? Infinity)),
      { timeoutMs: 60_000, what: 'the leases to be renewed' },
    );
    expect(await containersOf(allocations)).toEqual(before);
    for (const { id } of allocations) expect((await fleet.untilRuns(bot)).id).toBe(id);
    await deleteBot(bot);
  });

  it('a host has its bots end with their leases, and run elsewhere no sooner than these are surely over', async () => {
    const { host } = await aHostWithBots();
    const patient = await withoutHost(host === 'host-a' ? 'host-b' : 'host-a', aPatientBot);
    const { allocations } = await aHostWithBots();
    const waiting = await fleet.untilRuns(patient);
    expect({ patient: waiting.host, others: allocations.length }).toEqual({
      patient: host,
      others: bots.length,
    });
    const watching = new AbortController();
    const ends = await engine.watchEnds(fleet.name, watching.signal);
    await keepDown(`agent-${host}`);
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
      expect(lost_ms - heard_ms).toBeGreaterThanOrEqual(surely_over_ms);
      expect(timeOf(events, 'placed', moved.id)).toBeGreaterThanOrEqual(lost_ms);
      // The bot was dead before its account was given away.
      expect(end?.at_ms).toBeLessThan(lost_ms);
    }
    watching.abort();
    await fleet.untilAudited({ host }, ['host.registered', 'host.down']);
    expect((await fleet.gateway.call('hosts.get', { name: host })).state).toBe('down');

    expect(ends.find(({ allocation }) => allocation === waiting.id)).toMatchObject({
      exitCode: exit_lease_ended,
    });
    expect((await fleet.bot(patient)).status).toMatchObject({
      phase: 'queued',
      reason: expect.stringContaining('waits for it'),
      allocation: { id: waiting.id, state: 'lost' },
    });

    const elsewhere = await Promise.all(bots.map((bot) => fleet.untilRuns(bot)));
    await letUp(`agent-${host}`);
    await waitFor(async () => (await fleet.gateway.call('hosts.get', { name: host })).state === 'ready', {
      timeoutMs: 60_000,
      what: 'the host to be ready again',
    });
    const again = await fleet.untilRuns(patient, waiting.epoch);
    await untilContainersAreThoseOf([...elsewhere, again]);
    for (const { bot, id } of elsewhere) expect((await fleet.untilRuns(bot)).id).toBe(id);
    await deleteBot(patient);
  });

  it('its scheduler for longer than a lease has its bots end, and run again when it is back', async () => {
    const before = await Promise.all(bots.map((bot) => fleet.untilRuns(bot)));
    const watching = new AbortController();
    const ends = await engine.watchEnds(fleet.name, watching.signal);
    await keepDown('scheduler');
    await fleet.kill('scheduler');
    const killed_ms = Date.now();
    await waitFor(() => before.every(({ id }) => ends.some(({ allocation }) => allocation === id)), {
      timeoutMs: lease_ttl_ms * 2,
      what: 'every bot to end',
    });
    watching.abort();
    // Before a scheduler that had heard the last heartbeat might have given the accounts away.
    for (const { at_ms } of ends) expect(at_ms - killed_ms).toBeLessThan(surely_over_ms);
    await letUp('scheduler');
    // Until it is back the gateway has nobody to ask.
    const after = await waitFor(
      async () => await Promise.all(before.map(({ bot, epoch }) => fleet.untilRuns(bot, epoch))),
      { timeoutMs: 60_000, what: 'every bot to run again' },
    );
    await untilContainersAreThoseOf(after);
  });

  /** Nothing runs that should not, and nothing is left of what ran before. */
  async function untilContainersAreThoseOf(allocations: readonly Allocation[]): Promise<void> {
    const wanted = allocations.map(({ id }) => id).sort();
    await waitFor(
      async () => {
        const present = (await engine.containers(fleet.name)).map(({ allocation }) => allocation);
        return present.sort().join() === wanted.join();
      },
      { timeoutMs: 60_000, what: 'the containers to be those of the live allocations' },
    );
  }

  const timeOf = (events: readonly FleetEvent[], what: string, allocation: string): number => {
    const found = events.find(
      ({ type, data }) => type === `tradefleet.allocation.${what}` && data['allocation'] === allocation,
    );
    if (found === undefined) throw new Error(`${allocation} was never ${what}`);
    return Date.parse(found.time);
  };
});

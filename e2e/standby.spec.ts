import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { SystemClock } from '#libs/clock';
import type { Allocation } from '#libs/contracts';
import { waitFor } from '#libs/testing';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { FleetHarness } from './testing/fleet.harness.js';
import { aManifest, manyBots } from './testing/manifests.js';
import { isRunning, processesNaming } from './testing/process.table.js';

const schedulers = ['scheduler', 'scheduler-2'] as const;
type Scheduler = (typeof schedulers)[number];

/** What a scheduler logs when it begins to lead. */
interface Takeover {
  readonly term: number;
  readonly holder: string;
  readonly givenUp: boolean;
  readonly watchedMs?: number;
  readonly ruleMs?: number;
  readonly unrenewedMs?: number;
}

/** Two schedulers. Whatever becomes of the one that leads, bots run on under the same allocation. */
describe('a fleet with a standby', () => {
  const clock = new SystemClock();
  let fleet: FleetHarness;
  let bots: string[];
  /** A bot with the lease of the fleet. */
  let usual: string;
  let before: Allocation[];
  let pids: number[];

  beforeAll(async () => {
    // Leases that outlive the slowest takeover of a busy machine: what is shown is who leads, not how fast it is.
    const manifest = aManifest([...manyBots(2, { policies: { leaseTtlMs: 120_000 } }), {}]);
    const names = manifest.tenants[0]?.bots?.map(({ name }) => name) ?? [];
    bots = names.slice(0, 2);
    usual = names[2] ?? '';
    fleet = await FleetHarness.start({ driver: 'process', hosts: 1, schedulers: 2, manifest });
  }, 240_000);
  afterAll(async () => {
    await fleet.stop();
  }, 180_000);
  beforeEach(async () => {
    before = await Promise.all(bots.map((bot) => fleet.untilRuns(bot)));
    pids = before.map((allocation) => botPid(allocation));
    await untilBothAreThere();
  }, 180_000);

  const botPid = (allocation: Allocation): number =>
    processesNaming(fleet.runDirectory(allocation)).find(({ command }) => command.includes('main.py'))?.pid ??
    0;

  const linesOf = (scheduler: Scheduler): Record<string, unknown>[] =>
    readFileSync(join(fleet.state, 'logs', `${scheduler}.log`), 'utf8')
      .split('\n')
      .filter((line) => line.startsWith('{'))
      .map((line) => JSON.parse(line) as Record<string, unknown>);

  const takeovers = (): Takeover[] =>
    schedulers
      .flatMap((scheduler) => linesOf(scheduler))
      .filter(({ msg }) => msg === 'leading')
      .map((line) => line as unknown as Takeover)
      .toSorted((a, b) => a.term - b.term);

  const leader = async () => await fleet.gateway.call('fleet.leader', {}, { timeout_ms: 5000 });
  const nameOf = (holder: string): Scheduler => {
    const name = schedulers.find((scheduler) => holder.startsWith(`${scheduler}/`));
    if (name === undefined) throw new Error(`No scheduler is ${holder}`);
    return name;
  };

  /** One leads, the other runs and waits for its turn. */
  async function untilBothAreThere(): Promise<void> {
    await waitFor(
      async () => {
        const { holder, term } = await leader();
        const standby = schedulers.find((scheduler) => scheduler !== nameOf(holder));
        if (standby === undefined || fleet.pidOf(standby) === null) return false;
        const last = linesOf(standby).findLast(({ msg }) => String(msg).startsWith('standing by'));
        return last?.['term'] === term;
      },
      { timeoutMs: 60_000, what: 'a leader and a standby' },
    );
  }

  async function untilAnotherLeads(term: number): Promise<{ term: number; holder: string }> {
    return await waitFor(
      async () => {
        const now = await leader();
        return now.term > term ? now : null;
      },
      { timeoutMs: 60_000, what: `a leader of a term above ${term}` },
    );
  }

  /** Renewed after now, by whoever leads. */
  async function untilLeasesAreRenewed(): Promise<void> {
    const since = clock.boottimeMs();
    const written = (allocation: Allocation): number =>
      (
        JSON.parse(readFileSync(join(fleet.runDirectory(allocation), 'lease.json'), 'utf8')) as {
          writtenBoottimeMs: number;
        }
      ).writtenBoottimeMs;
    await waitFor(() => before.every((allocation) => written(allocation) > since), {
      timeoutMs: 60_000,
      what: 'the leases to be renewed',
    });
  }

  /** The same processes under the same allocations: nothing was ended, nothing placed again. */
  async function expectNothingHappenedToBots(): Promise<void> {
    await untilLeasesAreRenewed();
    const after = await Promise.all(bots.map((bot) => fleet.untilRuns(bot)));
    expect(after.map(({ id, epoch }) => ({ id, epoch }))).toEqual(
      before.map(({ id, epoch }) => ({ id, epoch })),
    );
    expect(after.map(botPid)).toEqual(pids);
    expect(pids.every((pid) => isRunning(pid))).toBe(true);
  }

  const takeoverOf = (term: number): Takeover | undefined =>
    takeovers().find((takeover) => takeover.term === term);

  it('goes on when the leader is stopped; once it goes on itself it ends, and comes back as standby', async () => {
    const { term, holder } = await leader();
    const old = nameOf(holder);
    const pid = fleet.pidOf(old) ?? 0;
    process.kill(pid, 'SIGSTOP');
    const next = await untilAnotherLeads(term);
    expect(next).toMatchObject({ term: term + 1 });
    expect(nameOf(next.holder)).not.toBe(old);
    const { givenUp, watchedMs = 0, ruleMs = Infinity, unrenewedMs = 0 } = takeoverOf(next.term) ?? {};
    expect(givenUp).toBe(false);
    expect(watchedMs).toBeGreaterThanOrEqual(ruleMs);
    expect(unrenewedMs).toBeGreaterThanOrEqual(5000);
    await untilLeasesAreRenewed();
    // Requests are answered meanwhile, though the one that is stopped is still subscribed.
    for (let n = 0; n < 5; n += 1) expect((await leader()).term).toBe(next.term);

    process.kill(pid, 'SIGCONT');
    await waitFor(() => !isRunning(pid), { timeoutMs: 30_000, what: 'the old leader to end' });
    await untilBothAreThere();
    expect((await leader()).term).toBe(next.term);
    expect(linesOf(old).map(({ msg }) => msg)).toContain('leadership was lost');
    expect(fleet.console()).toContain(`${old} ended (code 75)`);
    await expectNothingHappenedToBots();
  }, 180_000);

  it('goes on when the leader is killed', async () => {
    const { term, holder } = await leader();
    await fleet.kill(nameOf(holder));
    const next = await untilAnotherLeads(term);
    const { givenUp, watchedMs = 0, ruleMs = Infinity } = takeoverOf(next.term) ?? {};
    expect(givenUp).toBe(false);
    expect(watchedMs).toBeGreaterThanOrEqual(ruleMs);
    await expectNothingHappenedToBots();
  }, 240_000);

  it('goes on when the leader is asked to end, which gives the lead up', async () => {
    const { term, holder } = await leader();
    process.kill(fleet.pidOf(nameOf(holder)) ?? 0, 'SIGTERM');
    const next = await untilAnotherLeads(term);
    expect(takeoverOf(next.term)).toMatchObject({ givenUp: true });
    await expectNothingHappenedToBots();
  }, 240_000);

  it('goes on when the standby is killed, as if nothing were', async () => {
    const { term, holder } = await leader();
    const standby = schedulers.find((scheduler) => scheduler !== nameOf(holder)) ?? 'scheduler';
    await fleet.kill(standby);
    await untilBothAreThere();
    expect((await leader()).term).toBe(term);
    await expectNothingHappenedToBots();
  }, 240_000);

  it('survives the death of Postgres', async () => {
    const pidFile = join(fleet.state, 'postgres', 'data', 'postmaster.pid');
    const pid = Number(readFileSync(pidFile, 'utf8').split('\n')[0]);
    process.kill(pid, 'SIGKILL');
    await waitFor(() => !isRunning(pid), { what: 'Postgres to be dead' });
    await waitFor(() => leader(), { timeoutMs: 60_000, what: 'somebody to lead' });
    await expectNothingHappenedToBots();
  }, 240_000);

  const natsPid = (): number => {
    const config = join(fleet.state, 'nats.conf');
    const server = processesNaming(config).find(({ command }) => command.includes('nats-server'));
    if (server === undefined) throw new Error('There is no nats-server.');
    return server.pid;
  };

  it('survives the death of NATS', async () => {
    const pid = natsPid();
    process.kill(pid, 'SIGKILL');
    await waitFor(() => !isRunning(pid), { what: 'NATS to be dead' });
    await waitFor(() => leader(), { timeoutMs: 60_000, what: 'somebody to lead' });
    await expectNothingHappenedToBots();
  }, 240_000);

  it('that has no NATS for longer than a lease has its bots end, but those of longer leases, and run again', async () => {
    const ending = await fleet.untilRuns(usual);
    const endingPid = botPid(ending);
    const pid = natsPid();
    process.kill(pid, 'SIGSTOP');
    try {
      await waitFor(() => !isRunning(endingPid), {
        timeoutMs: 60_000,
        what: 'the bot to end with its lease',
      });
      expect(pids.every((running) => isRunning(running))).toBe(true);
    } finally {
      process.kill(pid, 'SIGCONT');
    }
    await waitFor(() => leader(), { timeoutMs: 60_000, what: 'somebody to lead' });
    await waitFor(
      async () => {
        const { allocation } = (await fleet.bot(usual)).status;
        return allocation?.state === 'running' && allocation.epoch > ending.epoch;
      },
      { timeoutMs: 90_000, what: 'the bot to run under another epoch' },
    );
    await expectNothingHappenedToBots();
  }, 240_000);
});

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { ApiRequest, FleetEvent, Operation } from '#libs/contracts';
import { uniqueLogin, uniqueName, waitFor } from '#libs/testing';
import { DockerEngine } from './testing/docker.engine.js';
import { FleetHarness } from './testing/fleet.harness.js';
import { aManifest, fastMarket, manyBots } from './testing/manifests.js';

/** A busy agent must have seen that it was ready once before. */
const crash_after_s = 3;

type Policies = NonNullable<ApiRequest<'bots.create'>['policies']>;

/** Bots that end by themselves, over and over: tried in place, then on the other host, then given up. */
describe('a bot that crashes', () => {
  const manifest = aManifest(manyBots(1));
  const tenant = manifest.tenants[0]?.name ?? '';
  const engine = new DockerEngine();
  let fleet: FleetHarness;

  beforeAll(async () => {
    fleet = await FleetHarness.start({ driver: 'docker', manifest });
  }, 240_000);
  afterAll(async () => {
    await fleet.stop();
  }, 180_000);

  /** A bot whose terminal crashes some time after its login. */
  async function aCrashingBot(
    afterS: number,
    policies: Policies,
  ): Promise<{ bot: string; operation: string }> {
    const { bot, account } = { bot: uniqueName('bot'), account: uniqueName('acc') };
    await fleet.gateway.call('accounts.create', {
      ...{ name: account, tenant, server: 'Paper-Demo', login: uniqueLogin() },
    });
    const { operation } = await fleet.gateway.call('bots.create', {
      ...{ name: bot, account, runtime: 'paper', policies },
      parameters: { ...fastMarket, paperFault: 'crash', paperFaultAfterS: afterS },
    });
    return { bot, operation };
  }
  async function deleteBot(bot: string): Promise<void> {
    const { operation } = await fleet.gateway.call('bots.delete', { name: bot });
    expect((await fleet.untilEnded(operation)).state).toBe('succeeded');
  }
  const untilGivenUp = async (bot: string) =>
    await waitFor(
      async () => {
        const { status } = await fleet.bot(bot);
        return status.gaveUpAt === null ? null : status;
      },
      { timeoutMs: 150_000, what: `${bot} to be given up` },
    );
  const ofType = (events: readonly FleetEvent[], type: string) =>
    events.filter((event) => event.type === `tradefleet.${type}`).map(({ data }) => data);
  const reasonOf = (operation: Operation): string => operation.targets[0]?.reason ?? '';

  it('is begun again in place, then on the other host, then given up until somebody starts it', async () => {
    const restart = { attempts: 2, delayMs: 300, delayMaxMs: 300 };
    const reschedule = { attempts: 1, delayMs: 1000, delayMaxMs: 1000 };
    const { bot } = await aCrashingBot(crash_after_s, { restart, reschedule });
    const status = await untilGivenUp(bot);
    expect(status).toMatchObject({
      ...{ phase: 'failed', failures: 2, nextTryAt: null, host: null },
      reason: expect.stringMatching(/^given up after 2 failures; exited: /),
      allocation: {
        epoch: 2,
        attempt: 3,
        exitCode: 70,
        lastExit: { attempt: 2, reason: 'exited', exitCode: 70 },
      },
    });
    const inPlace = [
      ...['placed', 'accepted', 'preparing', 'starting', 'running'],
      ...['restarting', 'running', 'restarting', 'running', 'failed'],
    ].map((what) => `allocation.${what}`);
    const events = await fleet.untilAudited({ bot }, ['bot.created', ...inPlace, ...inPlace, 'bot.gave-up']);
    const restarting = ofType(events, 'allocation.restarting');
    expect(restarting.map(({ attempt, epoch, exitCode }) => [epoch, attempt, exitCode])).toEqual([
      [1, 2, 70],
      [1, 3, 70],
      [2, 2, 70],
      [2, 3, 70],
    ]);
    const hosts = ofType(events, 'allocation.placed').map(({ host }) => host);
    expect(new Set(hosts)).toEqual(new Set(['host-a', 'host-b']));
    expect(hosts).toHaveLength(2);
    // Every attempt had credentials of its own.
    for (const { allocation } of ofType(events, 'allocation.failed')) {
      const grants = await fleet.untilAudited({ allocation }, [
        'grant.issued',
        'grant.issued',
        'grant.issued',
      ]);
      expect(ofType(grants, 'grant.issued')).toHaveLength(3);
    }
    // The end is told when nothing runs; what is left goes after it.
    await waitFor(
      async () => {
        const containers = (await engine.containers(fleet.name)).map(({ allocation }) => allocation);
        return !containers.includes(status.allocation?.id ?? '');
      },
      { what: 'its container to go' },
    );

    await fleet.gateway.call('bots.start', { name: bot });
    const again = await fleet.untilRuns(bot, 2);
    expect(again).toMatchObject({ epoch: 3, attempt: 1 });
    await deleteBot(bot);
  });

  it('fails the operation that waits for it, with the reason, when it is given up', async () => {
    const never = { restart: { attempts: 0 }, reschedule: { attempts: 0 } };
    const { bot, operation } = await aCrashingBot(0, never);
    const ended = await fleet.untilEnded(operation);
    expect(ended).toMatchObject({ state: 'failed', progress: { failed: 1 } });
    expect(reasonOf(ended)).toMatch(/^exited: /);
    const [gaveUp] = ofType(
      await fleet.untilAudited({ bot }, ['allocation.failed', 'bot.gave-up']),
      'bot.gave-up',
    );
    expect(gaveUp).toMatchObject({ failures: 1, end: 'exited', exitCode: 70 });
    await deleteBot(bot);
  });

  it('is begun again by the next agent when its own is killed between two attempts', async () => {
    const restart = { attempts: 2, delayMs: 4000, delayMaxMs: 4000, jitter: 0 };
    // It waits for the next agent with a lease that outlives the slowest start of one.
    const policies = { restart, reschedule: { attempts: 0 }, leaseTtlMs: 120_000 };
    const { bot } = await aCrashingBot(crash_after_s, policies);
    const first = await fleet.untilRuns(bot);
    await fleet.untilAudited({ allocation: first.id }, ['allocation.restarting']);
    await fleet.kill(`agent-${first.host}`);
    const status = await untilGivenUp(bot);
    expect(status.allocation).toMatchObject({ id: first.id, epoch: first.epoch, attempt: 3 });
    const events = await fleet.untilAudited({ allocation: first.id }, [
      ...['restarting', 'running', 'restarting', 'running', 'failed'].map((what) => `allocation.${what}`),
    ]);
    expect(ofType(events, 'allocation.restarting').map(({ attempt }) => attempt)).toEqual([2, 3]);
    await deleteBot(bot);
  });
});

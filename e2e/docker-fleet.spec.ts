import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Allocation, ApiRequest } from '#libs/contracts';
import { uniqueLogin, uniqueName, waitFor } from '#libs/testing';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type ContainerInspection, DockerEngine } from './testing/docker.engine.js';
import { FleetHarness } from './testing/fleet.harness.js';
import { aManifest, fastMarket, manyBots } from './testing/manifests.js';
import { kernelStatus } from './testing/process.table.js';

/** Bots in containers on two hosts: that they run, how they are shut in, and every way to change them. */
describe('a fleet with Docker', () => {
  const manifest = aManifest(manyBots(4, { parameters: fastMarket }));
  const tenant = manifest.tenants[0]?.name ?? '';
  const names = manifest.tenants[0]?.bots?.map(({ name }) => name) ?? [];
  const engine = new DockerEngine();
  let fleet: FleetHarness;

  beforeAll(async () => {
    fleet = await FleetHarness.start({ driver: 'docker', manifest });
  }, 240_000);
  afterAll(async () => {
    await fleet.stop();
  }, 180_000);

  /** The container of an allocation; null: there is none. */
  async function containerOf(allocation: Pick<Allocation, 'id'>): Promise<ContainerInspection | null> {
    const listed = await engine.containers(fleet.name);
    const found = listed.find((container) => container.allocation === allocation.id);
    return found === undefined ? null : engine.inspect(found.id);
  }

  /** What is told to have ended is dead at once; its remains go soon after. */
  async function untilGone(allocation: Allocation): Promise<void> {
    expect((await containerOf(allocation))?.State.Running ?? false).toBe(false);
    await waitFor(async () => (await containerOf(allocation)) === null, { what: 'the container to go' });
  }

  /** A bot with an account of its own, for one test to play with. */
  async function aRunningBot(): Promise<{ bot: string; account: string; allocation: Allocation }> {
    const { bot, account } = { bot: uniqueName('bot'), account: uniqueName('acc') };
    await fleet.gateway.call('accounts.create', {
      ...{ name: account, tenant, server: 'Paper-Demo', login: uniqueLogin() },
    });
    const made = await fleet.gateway.call('bots.create', { name: bot, account, runtime: 'paper' });
    expect((await fleet.untilEnded(made.operation)).state).toBe('succeeded');
    return { bot, account, allocation: await fleet.untilRuns(bot) };
  }

  async function deleteBot(bot: string): Promise<void> {
    const { operation } = await fleet.gateway.call('bots.delete', { name: bot });
    expect((await fleet.untilEnded(operation)).state).toBe('succeeded');
  }

  it('runs the four bots of its manifest, one container each, on both hosts', async () => {
    const bots = await Promise.all(names.map((name) => fleet.bot(name)));
    expect(bots.map(({ status }) => status.phase)).toEqual(['running', 'running', 'running', 'running']);
    const placed = await waitFor(
      async () => {
        const found = await fleet.audited({ tenant }, { type: 'tradefleet.allocation.placed' });
        return found.length >= names.length ? found : null;
      },
      { what: 'the audit log to have all placements' },
    );
    const first = names.map((name) => placed.find(({ data }) => data['bot'] === name)?.data['host']);
    expect(new Set(first)).toEqual(new Set(['host-a', 'host-b']));
    for (const { status } of bots) {
      const container = status.allocation === null ? null : await containerOf(status.allocation);
      expect(container?.State.Running).toBe(true);
    }
    for (const name of names) {
      const seen = await waitFor(
        async () => {
          const { observation } = (await fleet.bot(name)).status;
          return observation?.equity == null ? null : observation;
        },
        { what: `figures of ${name}` },
      );
      expect(seen).toMatchObject({ stage: 'trade-allowed', currency: expect.any(String) });
      expect(seen.equity).toBeGreaterThan(0);
    }
    await waitFor(async () => ((await fleet.bot(names[0] ?? '')).status.observation?.ordersToday ?? 0) > 0, {
      timeoutMs: 30_000,
      what: 'an order',
    });
  });

  it('shuts a bot in', async () => {
    const { allocation, container } = await aContainer();
    const { HostConfig, Config, Mounts, NetworkSettings } = container;
    expect(Config.User).toBe('911:911');
    expect(HostConfig).toMatchObject({
      Privileged: false,
      CapAdd: [],
      CapDrop: ['ALL'],
      SecurityOpt: expect.arrayContaining(['no-new-privileges:true']),
      ReadonlyRootfs: true,
      Memory: 128 * 1024 * 1024,
      MemorySwap: 128 * 1024 * 1024,
      NanoCpus: 100 * 1_000_000,
      PidsLimit: 32,
      RestartPolicy: { Name: 'no' },
      PublishAllPorts: false,
      Tmpfs: { '/tmp': expect.stringContaining('noexec') },
      LogConfig: { Config: expect.objectContaining({ 'max-size': expect.any(String) }) },
    });
    expect(Config.Healthcheck?.Test.length).toBeGreaterThan(0);
    expect(Mounts.map(({ Type, Destination, RW }) => ({ Type, Destination, RW }))).toEqual(
      expect.arrayContaining([
        { Type: 'bind', Destination: '/run/tradefleet', RW: false },
        { Type: 'bind', Destination: '/run/tradefleet/out', RW: true },
        { Type: 'volume', Destination: '/config', RW: true },
      ]),
    );
    expect(Mounts).toHaveLength(3);
    expect(Object.values(NetworkSettings.Ports).filter((published) => published !== null)).toEqual([]);
    // What the kernel holds against the bot itself, whatever the engine says it has asked for.
    expect(kernelStatus(container.State.Pid)).toMatchObject({
      Uid: '911\t911\t911\t911',
      Gid: '911\t911\t911\t911',
      CapEff: '0000000000000000',
      CapBnd: '0000000000000000',
      NoNewPrivs: '1',
    });
    const [network] = Object.values(NetworkSettings.Networks);
    const { Internal, IPAM, Containers, Name } = await engine.network(network?.NetworkID ?? '');
    expect({ Internal, Name }).toEqual({ Internal: true, Name: `tf-${allocation.id}` });
    expect(IPAM.Config[0]?.Subnet).toMatch(/\/29$/);
    expect(Object.keys(Containers)).toEqual([container.Id]);
  });

  it('keeps secrets out of what can be inspected, and credentials only until the login', async () => {
    const { allocation, container } = await aContainer();
    expect(container.Config.Env.map((entry) => entry.split('=')[0])).not.toEqual(
      expect.arrayContaining([expect.stringMatching(/pass|secret|token|login|key/i)]),
    );
    const inspected = JSON.stringify(container);
    for (const file of readdirSync(join(fleet.state, 'keys')))
      expect([file, inspected.includes(fleet.secret(file))]).toEqual([file, false]);
    const folder = fleet.runDirectory(allocation);
    await waitFor(() => !existsSync(join(folder, 'credentials.json')), { what: 'the credentials to go' });
    expect(readdirSync(folder)).toEqual(
      expect.arrayContaining(['bot.json', 'control.json', 'lease.json', 'out']),
    );
    expect(JSON.parse(readFileSync(join(folder, 'lease.json'), 'utf8'))).toMatchObject({
      allocation: allocation.id,
      epoch: allocation.epoch,
    });
    await fleet.untilAudited({ allocation: allocation.id }, ['grant.issued']);
  });

  /** The container of a bot of the manifest. */
  async function aContainer(): Promise<{ allocation: Allocation; container: ContainerInspection }> {
    const allocation = await fleet.untilRuns(names[0] ?? '');
    const container = await containerOf(allocation);
    if (container === null) throw new Error('The bot has no container');
    return { allocation, container };
  }

  it('runs a bot that a stock NATS client asks for in plain JSON', async () => {
    const [mine, account, bot] = [uniqueName('stock'), uniqueName('acc'), uniqueName('bot')];
    const client = await fleet.nats();
    const ask = async (subject: string, body: string) => {
      const answer = await client.send(subject, body);
      if (!answer.ok) throw new Error(`${subject}: ${answer.problem.detail}`);
      return answer.result;
    };
    await ask('fleet.v1.api.tenants.create', `{"name":"${mine}"}`);
    await ask(
      'fleet.v1.api.accounts.create',
      `{"name":"${account}","tenant":"${mine}","server":"Paper-Demo","login":${uniqueLogin()}}`,
    );
    const accepted = await ask(
      'fleet.v1.api.bots.create',
      `{"name":"${bot}","account":"${account}","runtime":"paper"}`,
    );
    const operation = await waitFor(
      async () => {
        const result = await ask(
          'fleet.v1.api.operations.wait',
          `{"id":"${String(accepted['operation'])}","timeoutMs":10000}`,
        );
        return result['state'] === 'running' ? null : result;
      },
      { timeoutMs: 60_000, what: 'the operation' },
    );
    expect(operation['state']).toBe('succeeded');
    expect((await containerOf(await fleet.untilRuns(bot)))?.State.Running).toBe(true);
    const events = await fleet.untilAudited({ bot }, [
      'bot.created',
      'allocation.placed',
      'allocation.running',
    ]);
    expect(events[0]?.actor).toMatch(/^nats:/);
    await deleteBot(bot);
  });

  it('stops, starts and deletes a bot', async () => {
    const { bot, allocation } = await aRunningBot();
    const call = async (verb: 'bots.stop' | 'bots.start' | 'bots.delete') => {
      const { operation } = await fleet.gateway.call(verb, { name: bot, reason: 'a scenario' });
      expect((await fleet.untilEnded(operation)).state).toBe('succeeded');
    };
    await call('bots.stop');
    expect((await fleet.bot(bot)).status).toMatchObject({ phase: 'stopped', reason: 'asked' });
    await untilGone(allocation);
    await call('bots.start');
    const again = await fleet.untilRuns(bot, allocation.epoch);
    await call('bots.delete');
    await expect(fleet.bot(bot)).rejects.toMatchObject({ code: 'bot_not_found' });
    await untilGone(again);
    const events = await fleet.untilAudited({ bot }, [
      'bot.created',
      'allocation.placed',
      'allocation.accepted',
      'allocation.preparing',
      'allocation.starting',
      'allocation.running',
      'bot.stop-requested',
      'allocation.stopping',
      'allocation.stopped',
      'bot.start-requested',
      'allocation.running',
      'bot.delete-requested',
      'allocation.stopped',
      'bot.deleted',
    ]);
    expect(events.find(({ type }) => type === 'tradefleet.bot.stop-requested')?.actor).toBe('user:admin');
  });

  it('stops the bot of a locked account and runs it again, under a higher epoch, once it is unlocked', async () => {
    const { bot, account, allocation } = await aRunningBot();
    await fleet.gateway.call('accounts.lock', { name: account, reason: 'a scenario' });
    await waitFor(async () => (await fleet.bot(bot)).status.allocation?.state === 'stopped', {
      timeoutMs: 30_000,
      what: 'the bot to stop',
    });
    expect((await fleet.bot(bot)).status.allocation).toMatchObject({
      id: allocation.id,
      reason: 'account-locked',
    });
    await untilGone(allocation);
    await fleet.gateway.call('accounts.unlock', { name: account, reason: 'a scenario' });
    const again = await fleet.untilRuns(bot, allocation.epoch);
    expect((await fleet.gateway.call('accounts.get', { name: account })).epoch).toBe(again.epoch);
    await fleet.untilAudited({ account }, [
      'account.created',
      'allocation.running',
      'account.locked',
      'allocation.stopped',
      'account.unlocked',
      'allocation.running',
    ]);
    await deleteBot(bot);
  });

  it('replaces a bot that a plan changes, under a new epoch, and leaves the others alone', async () => {
    const changed = aManifest(manyBots(2));
    const [first, second] = changed.tenants[0]?.bots ?? [];
    if (first === undefined || second === undefined) throw new Error('The manifest has two bots');
    const apply = async (wanted: ApiRequest<'fleet.plan'>['manifest']) => {
      const plan = await fleet.gateway.call('fleet.plan', { manifest: wanted });
      const applied = await fleet.gateway.call('fleet.apply', { manifest: wanted, version: plan.version });
      expect((await fleet.untilEnded(applied.operation)).state).toBe('succeeded');
      return plan.changes;
    };
    await apply(changed);
    const before = { first: await fleet.untilRuns(first.name), second: await fleet.untilRuns(second.name) };
    first.parameters = { symbol: 'USDJPY' };
    expect(await apply(changed)).toEqual([
      expect.objectContaining({ action: 'update', entity: 'bot', name: first.name, restarts: true }),
    ]);
    const after = await fleet.untilRuns(first.name, before.first.epoch);
    const botFile: unknown = JSON.parse(readFileSync(join(fleet.runDirectory(after), 'bot.json'), 'utf8'));
    expect(botFile).toMatchObject({ epoch: after.epoch, parameters: { symbol: 'USDJPY' } });
    await untilGone(before.first);
    expect((await fleet.bot(second.name)).status.allocation?.id).toBe(before.second.id);
    await fleet.untilAudited({ bot: first.name }, [
      'allocation.running',
      'bot.updated',
      'allocation.stopped',
      'allocation.placed',
      'allocation.running',
    ]);
    await Promise.all([deleteBot(first.name), deleteBot(second.name)]);
  });

  it('drains a host: its bots run on the other one, and none comes back until it is ready', async () => {
    const before = await Promise.all(names.map((name) => fleet.untilRuns(name)));
    const from = before[0]?.host ?? '';
    const to = from === 'host-a' ? 'host-b' : 'host-a';
    await fleet.gateway.call('hosts.drain', { name: from, reason: 'a scenario' });
    await waitFor(
      async () => {
        const bots = await Promise.all(names.map((name) => fleet.bot(name)));
        return bots.every(({ status }) => status.phase === 'running' && status.host === to);
      },
      { timeoutMs: 60_000, what: `all bots to run on ${to}` },
    );
    for (const old of before) {
      const now = await fleet.untilRuns(old.bot);
      // Who was there already has not been touched.
      if (old.host === to) expect(now.id).toBe(old.id);
      else expect(now.epoch).toBe(old.epoch + 1);
    }
    const { reserved, state } = await fleet.gateway.call('hosts.get', { name: from });
    expect({ bots: reserved.bots, state }).toEqual({ bots: 0, state: 'draining' });
    await fleet.untilAudited({ host: from }, ['host.draining', 'host.drained']);
    // Each was prepared where it went before it was stopped, and how long it did not run is known.
    for (const { bot } of before.filter(({ host }) => host === from)) {
      const events = await fleet.untilAudited({ bot }, [
        'move.planned',
        'move.switching',
        'allocation.stopped',
        'allocation.placed',
        'allocation.running',
        'bot.moved',
      ]);
      const moved = events.find(({ type }) => type === 'tradefleet.bot.moved')?.data;
      expect(moved).toMatchObject({ from, to, prepared: true, why: 'drain', gapMs: expect.any(Number) });
      const move = String(moved?.['move']);
      await fleet.untilAudited({ move, host: to }, ['move.prepared']);
      expect(await fleet.gateway.call('moves.get', { id: move })).toMatchObject({ state: 'done', bot });
    }
    await fleet.gateway.call('hosts.ready', { name: from });
    await fleet.untilAudited({ host: from }, ['host.registered', 'host.draining', 'host.ready']);
  });
});

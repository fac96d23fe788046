import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { SystemClock } from '#libs/clock';
import { consumers, streams } from '#libs/contracts';
import { provision } from '#libs/messaging';
import {
  startNats,
  startPostgres,
  VirtualClock,
  waitFor,
  type TestNats,
  type TestPostgres,
} from '#libs/testing';
import { HostRegistrationRepository } from '../heartbeats/host-registration.repository.js';
import { SignedHost } from '../heartbeats/signed-host.harness.js';
import { migratedDatabase, RuntimeHarness } from '../runtime.harness.js';
import { BrokerUpkeep } from './broker.upkeep.js';

let postgres: TestPostgres;
let nats: TestNats;
let runtime: RuntimeHarness;
let host: SignedHost;

beforeAll(async () => {
  postgres = await startPostgres();
});
afterAll(async () => {
  await postgres.stop();
});

async function begin(clock = new SystemClock()): Promise<BrokerUpkeep> {
  nats = await startNats();
  runtime = await RuntimeHarness.start({ databaseUrl: await migratedDatabase(postgres), nats, clock });
  host = await SignedHost.create();
  await runtime.register(host);
  return runtime.app.get(BrokerUpkeep);
}
afterEach(async () => {
  await runtime.app.get(BrokerUpkeep).stop();
  await runtime.stop();
  await nats.stop();
});

/** Names of the streams there are, and whether the host's consumer is there. */
async function there(): Promise<{ streams: string[]; consumer: boolean }> {
  const manager = await runtime.messaging.manager();
  const names: string[] = [];
  for await (const { config } of manager.streams.list()) names.push(config.name);
  const { stream, durable } = consumers.agentCommands(host.name);
  const consumer = await manager.consumers.info(stream, durable).then(
    () => true,
    () => false,
  );
  return { streams: names.toSorted(), consumer };
}
const everything = {
  streams: Object.values(streams)
    .map(({ name }) => name)
    .toSorted(),
  consumer: true,
};

async function look(clock: VirtualClock): Promise<void> {
  await waitFor(() => clock.sleeping > 0, { what: 'the look to wait' });
  await clock.advance(60_000);
}

describe('BrokerUpkeep', () => {
  it('makes everything again after the broker has lost its store', async () => {
    const upkeep = await begin();
    upkeep.start();
    await nats.restartEmpty();
    await waitFor(async () => JSON.stringify(await there()) === JSON.stringify(everything), {
      timeoutMs: 30_000,
      what: 'streams and consumers',
    });
  });

  it('finds out by itself, within a minute, that a stream is gone', async () => {
    const clock = new VirtualClock(Date.now());
    const upkeep = await begin(clock);
    upkeep.start();
    await waitFor(() => clock.sleeping > 0, { what: 'the look to wait' });
    await (await runtime.messaging.manager()).streams.delete(streams.commands.name);
    await clock.advance(60_000);
    await waitFor(async () => (await there()).consumer, { timeoutMs: 30_000, what: 'the consumer' });
    expect(await there()).toEqual(everything);
  });

  it('takes away the consumers of hosts that were removed, and no others', async () => {
    const clock = new VirtualClock(Date.now());
    const upkeep = await begin(clock);
    const gone = await SignedHost.create();
    await runtime.register(gone);
    const inspector = { ...consumers.agentCommands('elsewhere'), durable: 'inspector' };
    await provision(runtime.messaging, { consumers: [inspector] });
    // The broker is not told of it, as when it is away.
    await runtime.query('DELETE FROM scheduler.hosts WHERE name = $1', [gone.name]);
    upkeep.start();
    await look(clock);
    const manager = await runtime.messaging.manager();
    const left = async (): Promise<string[]> => {
      const names: string[] = [];
      for await (const { name } of manager.consumers.list(streams.commands.name)) names.push(name);
      return names.toSorted();
    };
    await waitFor(async () => (await left()).length < 3, { what: 'a consumer to go' });
    await upkeep.stop();
    expect(await left()).toEqual([`agent-${host.name}`, 'inspector'].toSorted());
  });

  it('makes the consumer again of a host that registers while it is taken for one that was removed', async () => {
    const clock = new VirtualClock(Date.now());
    const upkeep = await begin(clock);
    const { stream, durable } = consumers.agentCommands(host.name);
    const created = async (): Promise<string> =>
      (await (await runtime.messaging.manager()).consumers.info(stream, durable)).created;
    const before = await created();
    const hosts = runtime.app.get(HostRegistrationRepository);
    const names = hosts.names.bind(hosts);
    let reads = 0;
    // The second read is that of the look for strays.
    hosts.names = async () => (++reads === 2 ? [] : names());
    upkeep.start();
    await look(clock);
    await waitFor(() => reads === 3, { what: 'the look after strays were taken away' });
    await upkeep.stop();
    expect(await created()).not.toBe(before);
  });

  it('goes on when a look has failed', async () => {
    const clock = new VirtualClock(Date.now());
    const upkeep = await begin(clock);
    upkeep.start();
    await waitFor(() => clock.sleeping > 0, { what: 'the look to wait' });
    await runtime.query('ALTER TABLE scheduler.hosts RENAME TO hosts_away');
    await (await runtime.messaging.manager()).streams.delete(streams.commands.name);
    await clock.advance(60_000);
    await waitFor(async () => (await there()).streams.includes(streams.commands.name), {
      what: 'the stream',
    });
    await runtime.query('ALTER TABLE scheduler.hosts_away RENAME TO hosts');
    await waitFor(() => clock.sleeping > 0, { what: 'the next look to wait' });
    await clock.advance(60_000);
    await waitFor(async () => (await there()).consumer, { timeoutMs: 30_000, what: 'the consumer' });
  });
});

import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { consumers, newId, streams, subjects } from '#libs/contracts';
import { SigningKey } from '#libs/messaging';
import { aStopCommand, startNats, waitFor, type TestNats } from '#libs/testing';
import { AgentFixture } from '../testing/agent.fixture.js';

describe('commands', () => {
  let nats: TestNats;
  let fixture: AgentFixture;

  beforeAll(async () => {
    nats = await startNats();
  });
  afterAll(async () => {
    await nats.stop();
  });
  beforeEach(async () => {
    fixture = await AgentFixture.make(nats.url);
    await fixture.start();
  });
  afterEach(async () => {
    await fixture.close();
  });

  const rejections = () =>
    fixture.scheduler.events.filter((event) => event.type === 'tradefleet.command.rejected');

  /** Commands of this host that nobody has settled. */
  async function unsettled(): Promise<number> {
    const manager = await fixture.scheduler.messaging.manager();
    const { durable } = consumers.agentCommands(fixture.host);
    const info = await manager.consumers.info(streams.commands.name, durable);
    // The consumer hears of a command a moment after it was stored.
    const { last_seq } = (await manager.streams.info(streams.commands.name)).state;
    const unheard = info.delivered.stream_seq < last_seq && info.num_pending === 0 ? 1 : 0;
    return info.num_pending + info.num_ack_pending + unheard;
  }

  it.each<[string, string, () => Promise<void>]>([
    [
      'a bad signature',
      'bad_signature',
      async () => {
        const command = fixture.command();
        const signature = await (await SigningKey.generate()).sign(Buffer.from(JSON.stringify(command)));
        await fixture.scheduler.send(command, { signature });
      },
    ],
    [
      'no signature',
      'bad_signature',
      async () => await fixture.scheduler.send(fixture.command(), { signature: null }),
    ],
    [
      'another host',
      'wrong_host',
      async () => await fixture.scheduler.send(fixture.command({ host: 'elsewhere' })),
    ],
    [
      'a time that has passed',
      'command_expired',
      async () => await fixture.scheduler.send(fixture.command({ expiresAt: '2020-01-01T00:00:00.000Z' })),
    ],
    [
      'an unknown field',
      'invalid_request',
      async () => await fixture.scheduler.send({ ...fixture.command(), sudo: true }),
    ],
  ])('with %s are never obeyed, told of as %s and given up', async (_, code, send) => {
    await send();
    await waitFor(() => rejections().length > 0, { what: 'the rejection' });
    expect(rejections()[0]?.data).toMatchObject({ host: fixture.host, code, verb: 'start' });
    await waitFor(async () => (await unsettled()) === 0);
    expect(fixture.scheduler.heartbeats.every((beat) => beat.allocations.length === 0)).toBe(true);
    expect(rejections()).toHaveLength(1);
  });

  it('that are no JSON are never obeyed and go to the dead letters', async () => {
    const dead: string[] = [];
    const { durable } = consumers.agentCommands(fixture.host);
    const stop = await fixture.scheduler.messaging.tail(
      subjects.deadLetter(durable),
      (message) => dead.push(Buffer.from(message.bytes).toString('utf8')),
      { stream: streams.deadLetters.name, newOnly: true },
    );
    await fixture.scheduler.send(fixture.command(), { body: '{"verb":' });
    await waitFor(() => dead.length === 1, { what: 'the dead letter' });
    await waitFor(async () => (await unsettled()) === 0);
    await stop();
    expect(fixture.scheduler.heartbeats.every((beat) => beat.allocations.length === 0)).toBe(true);
  });

  it('of an epoch that has passed are never obeyed, also after a restart of the agent', async () => {
    const current = fixture.command({ epoch: 7 });
    await fixture.scheduler.send(current);
    await fixture.scheduler.heard(current.allocation, 'running');
    await fixture.stop();
    await fixture.start();
    const older = fixture.command({ account: current.account, epoch: 6 });
    const twin = fixture.command({ account: current.account, epoch: 7 });
    await fixture.scheduler.send(older);
    await fixture.scheduler.send(twin);
    await waitFor(() => rejections().length === 2);
    expect(rejections().map((event) => event.data)).toEqual([
      expect.objectContaining({ code: 'stale_epoch' }),
      expect.objectContaining({ code: 'stale_epoch' }),
    ]);
    expect(fixture.scheduler.told(older.allocation)).toEqual([]);
    expect(fixture.scheduler.told(twin.allocation)).toEqual([]);
  });

  it('that come twice take effect once', async () => {
    const command = fixture.command();
    const again = { ...command, id: newId() };
    await fixture.scheduler.send(command);
    await fixture.scheduler.send(command);
    await fixture.scheduler.send(again);
    await fixture.scheduler.heard(command.allocation, 'running');
    await waitFor(async () => (await unsettled()) === 0);
    expect(fixture.scheduler.told(command.allocation).filter((what) => what === 'accepted')).toHaveLength(1);
    expect(fixture.engine.ofHost(fixture.host)).toHaveLength(1);
    expect(rejections()).toEqual([]);
  });

  it('to stop what was never here make a late start start nothing', async () => {
    const command = fixture.command();
    const { account, allocation, epoch } = command;
    await fixture.scheduler.send(aStopCommand({ host: fixture.host, account, allocation, epoch }));
    await waitFor(() =>
      fixture.scheduler.heartbeats.some((beat) =>
        beat.allocations.some((a) => a.id === allocation && a.state === 'stopped'),
      ),
    );
    await fixture.scheduler.send(command);
    await waitFor(async () => (await unsettled()) === 0);
    expect(fixture.scheduler.told(allocation)).toEqual([]);
    expect(fixture.engine.ofHost(fixture.host)).toHaveLength(0);
  });

  it('to stop an older allocation are obeyed although a newer epoch was seen', async () => {
    const command = fixture.command({ epoch: 3 });
    await fixture.scheduler.send(command);
    await fixture.scheduler.heard(command.allocation, 'running');
    const { account, allocation } = command;
    await fixture.scheduler.send(
      aStopCommand({ host: fixture.host, account, allocation: newId(), epoch: 9 }),
    );
    await fixture.scheduler.send(aStopCommand({ host: fixture.host, account, allocation, epoch: 3 }));
    await fixture.scheduler.heard(allocation, 'stopped');
    expect(rejections()).toEqual([]);
  });

  it('that interrupt a start end it cleanly', async () => {
    fixture.scheduler.withholdAll = true;
    const command = fixture.command();
    const { account, allocation, epoch } = command;
    await fixture.scheduler.send(command);
    await fixture.scheduler.heard(allocation, 'preparing');
    await waitFor(() => fixture.engine.ofHost(fixture.host).length === 1);
    await fixture.scheduler.send(aStopCommand({ host: fixture.host, account, allocation, epoch }));
    expect(await fixture.scheduler.heard(allocation, 'stopped')).toMatchObject({
      reason: 'asked',
      exitCode: null,
    });
    await waitFor(async () => (await fixture.files(allocation)).length === 0);
    expect(fixture.engine.ofHost(fixture.host)).toHaveLength(0);
    expect(fixture.scheduler.told(allocation)).toEqual(['accepted', 'preparing', 'stopping', 'stopped']);
  });

  it('wait at the broker while the spool of events is full', async () => {
    await fixture.stop();
    await fixture.start({ spoolEventsMax: 0 });
    const command = fixture.command();
    await fixture.scheduler.send(command);
    await waitFor(async () => (await unsettled()) === 1);
    await fixture.stop();
    expect(fixture.scheduler.told(command.allocation)).toEqual([]);
    await fixture.start();
    await fixture.scheduler.heard(command.allocation, 'running');
  });
});

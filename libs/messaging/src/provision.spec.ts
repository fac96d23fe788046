import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { AckPolicy, RetentionPolicy, StorageType } from '@nats-io/jetstream';
import { consumers, streams, type ConsumerSpec, type StreamSpec } from '#libs/contracts';
import { startNats, uniqueName, type TestNats } from '#libs/testing';
import type { Messaging } from './messaging.js';
import { IncompatibleProvisioning, provision } from './provision.js';
import { connected } from './testing/fleet.fixture.js';

let nats: TestNats;
let messaging: Messaging;
beforeAll(async () => {
  nats = await startNats();
  messaging = await connected(nats);
});
afterAll(async () => {
  await messaging.drain();
  await nats.stop();
});

function specs(): { stream: StreamSpec; consumer: ConsumerSpec } {
  const name = uniqueName('s');
  return {
    stream: { ...streams.events, name, subjects: [`${name}.>`], max_bytes: 1024 * 1024 },
    consumer: { ...consumers.audit, stream: name, durable: 'd', filter: `${name}.a.>` },
  };
}

async function actual({ stream, consumer }: ReturnType<typeof specs>) {
  const manager = await messaging.manager();
  return {
    stream: await manager.streams.info(stream.name),
    consumer: await manager.consumers.info(stream.name, consumer.durable),
  };
}

describe('provision', () => {
  it('makes the streams and consumers of the contracts', async () => {
    const request = {
      streams: Object.values(streams),
      consumers: [consumers.audit, consumers.schedulerProjection, consumers.agentCommands('h1')],
    };
    await provision(messaging, request);
    const manager = await messaging.manager();
    const commands = await manager.streams.info(streams.commands.name);
    expect(commands.config).toMatchObject({
      retention: RetentionPolicy.Workqueue,
      storage: StorageType.File,
      discard: 'new',
      max_bytes: streams.commands.max_bytes,
      max_msg_size: streams.commands.max_msg_bytes,
      max_age: streams.commands.max_age_ms * 1e6,
      max_msgs_per_subject: streams.commands.max_msgs_per_subject,
      discard_new_per_subject: true,
      duplicate_window: streams.commands.duplicate_window_ms * 1e6,
    });
    const agent = await manager.consumers.info(streams.commands.name, 'agent-h1');
    expect(agent.config).toMatchObject({
      durable_name: 'agent-h1',
      filter_subject: 'fleet.v1.host.h1.cmd.>',
      ack_policy: AckPolicy.Explicit,
      ack_wait: 30_000 * 1e6,
      max_ack_pending: 256,
      max_deliver: -1,
    });
  });

  it('changes nothing when run again, and keeps what is stored and settled', async () => {
    const made = specs();
    const request = { streams: [made.stream], consumers: [made.consumer] };
    await provision(messaging, request);
    await messaging.publishDurable({
      subject: `${made.stream.name}.a.b`,
      messageId: 'm',
      body: '{}',
      headers: {},
    });
    const before = await actual(made);
    await provision(messaging, request);
    const after = await actual(made);
    expect(after.stream.config).toEqual(before.stream.config);
    expect(after.consumer.config).toEqual(before.consumer.config);
    expect(after.stream.created).toBe(before.stream.created);
    expect(after.stream.state.messages).toBe(1);
  });

  it('may run at the same time in two processes', async () => {
    const made = specs();
    const request = { streams: [made.stream], consumers: [made.consumer] };
    const other = await connected(nats);
    await Promise.all([provision(messaging, request), provision(other, request)]);
    await other.drain();
    expect((await actual(made)).consumer.name).toBe('d');
  });

  it('applies what may be changed', async () => {
    const made = specs();
    await provision(messaging, { streams: [made.stream], consumers: [made.consumer] });
    const { name } = made.stream;
    const stream: StreamSpec = {
      ...made.stream,
      max_age_ms: 60_000 * 60,
      subjects: [`${name}.>`, `${name}2.>`],
    };
    const consumer: ConsumerSpec = { ...made.consumer, unsettled_max: 7, filter: `${name}.b.>` };
    await provision(messaging, { streams: [stream], consumers: [consumer] });
    const after = await actual(made);
    expect(after.stream.config).toMatchObject({ max_age: 3_600_000 * 1e6, subjects: stream.subjects });
    expect(after.consumer.config).toMatchObject({ max_ack_pending: 7, filter_subject: `${name}.b.>` });
  });

  it('refuses to change the retention of a stream, and says what to do', async () => {
    const { stream } = specs();
    await provision(messaging, { streams: [stream] });
    const refused = provision(messaging, { streams: [{ ...stream, retention: 'workqueue' }] });
    await expect(refused).rejects.toThrow(IncompatibleProvisioning);
    await expect(refused).rejects.toThrow(/has retention limits and should have workqueue/);
  });

  it('refuses to shrink a stream below what it holds', async () => {
    const { stream } = specs();
    await provision(messaging, { streams: [stream] });
    const body = 'x'.repeat(5000);
    await messaging.publishDurable({ subject: `${stream.name}.a`, messageId: 'm', body, headers: {} });
    const refused = provision(messaging, { streams: [{ ...stream, max_bytes: 1000, max_msg_bytes: 500 }] });
    await expect(refused).rejects.toThrow(IncompatibleProvisioning);
  });

  it('refuses a consumer of the same name that works otherwise', async () => {
    const { stream, consumer } = specs();
    await provision(messaging, { streams: [stream] });
    const manager = await messaging.manager();
    await manager.consumers.add(stream.name, { durable_name: consumer.durable, ack_policy: AckPolicy.None });
    await expect(provision(messaging, { consumers: [consumer] })).rejects.toThrow(/ack_policy none/);
    const pushed = { ...consumer, durable: 'pushed' };
    await manager.consumers.add(stream.name, {
      durable_name: 'pushed',
      ack_policy: AckPolicy.Explicit,
      deliver_subject: uniqueName('to'),
    });
    await expect(provision(messaging, { consumers: [pushed] })).rejects.toThrow(
      /pushes and should be pulled/,
    );
  });
});

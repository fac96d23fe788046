import { AckPolicy, DeliverPolicy, jetstream } from '@nats-io/jetstream';
import { connect, nanos } from '@nats-io/transport-node';
import { eventHeaders, type PublicJwk, recordLine, streams } from '#libs/contracts';
import {
  decodeEventData,
  header,
  type OutgoingMessage,
  parseBody,
  readEventAttributes,
  verifyEvent,
} from '#libs/messaging';
import { Frontier, leafHash, TileBuilder } from '#libs/tlog';
import type { AuditFleet } from './audit.fleet.js';
import { recordOf } from './committer.side.js';
import type { Workload } from './workload.js';

/** Microseconds for an event, of each step done by itself, by a process that does nothing else. */
export type StepCosts = Readonly<Record<Step, number>>;
type Step = 'receive' | 'decode' | 'verify' | 'leaf' | 'tree';

const batch = 1000;
const receive_ms_max = 10_000;

/** Does each step of the ingestion alone with the same events, with the very functions the service calls. */
export async function measureSteps(fleet: AuditFleet, workload: Workload, count: number): Promise<StepCosts> {
  const messages = await workload.next(count);
  const received = messages.map(({ subject, headers, body }) => ({
    ...{ subject, headers, bytes: typeof body === 'string' ? Buffer.from(body) : body },
  }));
  const per_event = (begin_ms: number): number => ((performance.now() - begin_ms) / count) * 1000;

  await fleet.pauseIngestion();
  const receive = await receiveCost(fleet, messages);
  let begin_ms = performance.now();
  for (const { subject, headers, bytes } of received)
    decodeEventData(readEventAttributes(headers), { subject, body: parseBody(bytes) });
  const decode = per_event(begin_ms);

  begin_ms = performance.now();
  for (let from = 0; from < count; from += batch)
    await Promise.all(
      received
        .slice(from, from + batch)
        .map(async (message) => await verifyEvent(message, keysOf(workload, message.headers))),
    );
  const verify = per_event(begin_ms);

  const recordedAt = new Date().toISOString();
  const records = messages.map((message) => recordOf(message, recordedAt));
  begin_ms = performance.now();
  const leaves = records.map((record) => leafHash(recordLine(record)));
  const leaf = per_event(begin_ms);

  begin_ms = performance.now();
  const frontier = Frontier.empty();
  const builder = TileBuilder.empty();
  for (const hash of leaves) {
    frontier.append(hash);
    builder.append(hash);
  }
  return { receive, decode, verify, leaf, tree: per_event(begin_ms) };
}

function keysOf(workload: Workload, headers: Readonly<Record<string, string>>): readonly PublicJwk[] {
  const key = workload.keyOf(header(headers, eventHeaders.source) ?? '');
  return key === undefined ? [] : [key];
}

/** Pulled in batches from the stream and acknowledged, and nothing done with them. */
async function receiveCost(fleet: AuditFleet, messages: readonly OutgoingMessage[]): Promise<number> {
  const connection = await connect(fleet.watcher);
  try {
    const js = jetstream(connection);
    const manager = await js.jetstreamManager();
    const { state } = await manager.streams.info(streams.events.name);
    await fleet.messaging.publishDurableAll(messages, { window: batch });
    const { name } = await manager.consumers.add(streams.events.name, {
      ...{ ack_policy: AckPolicy.Explicit, deliver_policy: DeliverPolicy.StartSequence },
      opt_start_seq: state.last_seq + 1,
      ...{ max_ack_pending: 4 * batch, inactive_threshold: nanos(60_000) },
    });
    const consumer = await js.consumers.get(streams.events.name, name);
    const begin_ms = performance.now();
    let got = 0;
    while (got < messages.length) {
      for await (const message of await consumer.fetch({ max_messages: batch, expires: receive_ms_max })) {
        message.ack();
        got += 1;
        if (got === messages.length) break;
      }
      if (performance.now() - begin_ms > 10 * receive_ms_max)
        throw new Error(`Of ${messages.length} events ${got} came.`);
    }
    await connection.flush();
    return ((performance.now() - begin_ms) / got) * 1000;
  } finally {
    await connection.close();
  }
}

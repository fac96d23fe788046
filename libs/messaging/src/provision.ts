import {
  AckPolicy,
  DeliverPolicy,
  DiscardPolicy,
  JetStreamApiCodes,
  JetStreamApiError,
  ReplayPolicy,
  RetentionPolicy,
  StorageType,
  type ConsumerConfig,
  type JetStreamManager,
  type StreamConfig,
} from '@nats-io/jetstream';
import { nanos } from '@nats-io/transport-node';
import type { ConsumerSpec, StreamSpec } from '#libs/contracts';
import type { Messaging } from './messaging.js';

/** What is there cannot become what is wanted without losing something; says what to do. */
export class IncompatibleProvisioning extends Error {
  override readonly name = 'IncompatibleProvisioning';
}

export interface ProvisionRequest {
  readonly streams?: readonly StreamSpec[];
  readonly consumers?: readonly ConsumerSpec[];
  /** Copies of each stream in a cluster: given to new streams, left alone on old ones. Default 1. */
  readonly replicas?: number;
}

const consumers_parallel_max = 16;

/** Makes streams and consumers as they should be; run it as often as wanted. Throws `IncompatibleProvisioning`. */
export async function provision(
  messaging: Messaging,
  { streams = [], consumers = [], replicas = 1 }: ProvisionRequest,
): Promise<void> {
  const manager = await messaging.manager();
  for (const spec of streams) await provisionStream(manager, spec, replicas);
  // There is one for every host, and whoever begins to lead waits for all of them.
  for (let first = 0; first < consumers.length; first += consumers_parallel_max)
    await Promise.all(
      consumers
        .slice(first, first + consumers_parallel_max)
        .map(async (spec) => provisionConsumer(manager, spec)),
    );
}

async function provisionStream(manager: JetStreamManager, spec: StreamSpec, replicas: number): Promise<void> {
  const wanted = streamConfig(spec);
  const there = await orNull(manager.streams.info(spec.name), JetStreamApiCodes.StreamNotFound);
  if (there === null) {
    await manager.streams.add({ ...wanted, num_replicas: replicas });
    return;
  }
  for (const key of ['retention', 'storage'] as const)
    if (there.config[key] !== wanted[key])
      throw new IncompatibleProvisioning(
        `Stream ${spec.name} has ${key} ${there.config[key]} and should have ${wanted[key]}, which cannot be changed: ` +
          `keep it, or remove the stream once nothing in it is needed.`,
      );
  if (there.state.bytes > wanted.max_bytes)
    throw new IncompatibleProvisioning(
      `Stream ${spec.name} holds ${there.state.bytes} bytes and should hold at most ${wanted.max_bytes}: ` +
        `the change would drop messages. Raise the bound or wait until it is smaller.`,
    );
  if (differs(wanted, there.config)) await manager.streams.update(spec.name, wanted);
}

/** Takes a durable consumer away; one that is gone already is left at that. */
export async function removeConsumer(
  messaging: Messaging,
  { stream, durable }: Pick<ConsumerSpec, 'stream' | 'durable'>,
): Promise<void> {
  const manager = await messaging.manager();
  await orNull(manager.consumers.delete(stream, durable), JetStreamApiCodes.ConsumerNotFound);
}

async function provisionConsumer(manager: JetStreamManager, spec: ConsumerSpec): Promise<void> {
  const wanted = consumerConfig(spec);
  const there = await orNull(
    manager.consumers.info(spec.stream, spec.durable),
    JetStreamApiCodes.ConsumerNotFound,
  );
  if (there === null) {
    await manager.consumers.add(spec.stream, wanted);
    return;
  }
  for (const key of ['ack_policy', 'deliver_policy'] as const)
    if (there.config[key] !== wanted[key])
      throw new IncompatibleProvisioning(
        `Consumer ${spec.durable} of ${spec.stream} has ${key} ${there.config[key]} and should have ${wanted[key]}, ` +
          `which cannot be changed: keep it, or remove the consumer once it has nothing pending.`,
      );
  if (there.config.deliver_subject !== undefined)
    throw new IncompatibleProvisioning(
      `Consumer ${spec.durable} of ${spec.stream} pushes and should be pulled: remove it once it has nothing pending.`,
    );
  if (differs(wanted, there.config)) await manager.consumers.update(spec.stream, spec.durable, wanted);
}

function streamConfig(spec: StreamSpec) {
  return {
    name: spec.name,
    subjects: [...spec.subjects],
    retention: spec.retention === 'workqueue' ? RetentionPolicy.Workqueue : RetentionPolicy.Limits,
    storage: StorageType.File,
    // A full queue of commands refuses new ones, which the publisher sees; dropping the oldest nobody would see.
    discard: spec.retention === 'workqueue' ? DiscardPolicy.New : DiscardPolicy.Old,
    max_age: nanos(spec.max_age_ms),
    max_bytes: spec.max_bytes,
    max_msg_size: spec.max_msg_bytes,
    max_msgs_per_subject: spec.max_msgs_per_subject ?? -1,
    discard_new_per_subject: spec.max_msgs_per_subject !== null,
    duplicate_window: nanos(spec.duplicate_window_ms),
  } satisfies Partial<StreamConfig>;
}

function consumerConfig(spec: ConsumerSpec) {
  return {
    durable_name: spec.durable,
    filter_subject: spec.filter,
    ack_policy: AckPolicy.Explicit,
    deliver_policy: DeliverPolicy.All,
    replay_policy: ReplayPolicy.Instant,
    ack_wait: nanos(spec.ack_wait_ms),
    max_ack_pending: spec.unsettled_max,
    // Unbounded here: past the server's own bound a message would be stuck and nobody told. `JetStreamServer` keeps
    // `deliveries_max`, and lets go of a message only once it is stored as a dead letter.
    max_deliver: -1,
  } satisfies Partial<ConsumerConfig>;
}

/** Whether any wanted setting is not as it should be; what is not named is left alone. */
function differs(wanted: object, there: object): boolean {
  const actual = new Map<string, unknown>(Object.entries(there));
  return Object.entries(wanted).some(
    ([key, value]) => JSON.stringify(actual.get(key)) !== JSON.stringify(value),
  );
}

async function orNull<T>(info: Promise<T>, not_found: number): Promise<T | null> {
  try {
    return await info;
  } catch (error) {
    if (error instanceof JetStreamApiError && error.code === not_found) return null;
    throw error;
  }
}

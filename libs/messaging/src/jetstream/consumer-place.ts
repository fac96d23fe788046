import { JetStreamApiCodes, JetStreamApiError } from '@nats-io/jetstream';
import type { ConsumerSpec } from '#libs/contracts';
import type { Messaging } from '../messaging.js';

/** How far a durable consumer has settled its stream. */
export interface ConsumerPlace {
  /** When the stream was made; another one with its name has another time. */
  readonly created: string;
  /** Sequence of the newest message of the stream. */
  readonly last: number;
  /** Every message up to this sequence is settled; null where nobody has made the consumer. */
  readonly settled: number | null;
  /** Nothing waits for the consumer, nothing it got is unsettled. */
  readonly isIdle: boolean;
}

/** Null when there is no such stream. Throws what NATS answers, or that it does not. */
export async function consumerPlace(
  messaging: Messaging,
  { stream, durable }: ConsumerSpec,
): Promise<ConsumerPlace | null> {
  const manager = await messaging.manager();
  const info = await orNull(manager.streams.info(stream), JetStreamApiCodes.StreamNotFound);
  if (info === null) return null;
  const consumer = await orNull(manager.consumers.info(stream, durable), JetStreamApiCodes.ConsumerNotFound);
  return {
    created: info.created,
    last: info.state.last_seq,
    settled: consumer?.ack_floor.stream_seq ?? null,
    isIdle: consumer !== null && consumer.num_pending + consumer.num_ack_pending === 0,
  };
}

async function orNull<T>(asked: Promise<T>, code: number): Promise<T | null> {
  try {
    return await asked;
  } catch (error) {
    if (error instanceof JetStreamApiError && error.code === code) return null;
    throw error;
  }
}

import type { ConsumerSpec } from '#libs/contracts';
import { Poison, type Delivery, type OutgoingMessage } from '#libs/messaging';
import { subjectMatches, type Link } from './simulated-network.js';
import type { SimulatedProcess } from './simulated-process.js';
import type { TrueTime } from './true-time.js';

interface Stored extends OutgoingMessage {
  readonly seq: number;
  readonly storedAtMs: number;
}

interface Pending {
  readonly message: Stored;
  deliveries: number;
  underWay: boolean;
}

/** Whoever takes the messages of a consumer at present. */
interface Taker {
  readonly process: SimulatedProcess;
  readonly link: Link;
  readonly take: (delivery: Delivery) => Promise<void>;
}

interface Consumer {
  readonly spec: ConsumerSpec;
  readonly pending: Map<number, Pending>;
  taker: Taker | null;
}

const again_ms = 500;
/** A message that was not settled is given out again after this. */
const settle_ms_max = 3000;

/**
 * Durable streams: what is stored is given out until it is settled, so at least once, and in any order once something
 * has to be given out again.
 */
export class SimulatedStreams {
  private readonly ids = new Set<string>();
  private readonly messages: Stored[] = [];
  private readonly consumers = new Map<string, Consumer>();

  constructor(private readonly time: TrueTime) {}

  /** Once for each message id. */
  store(message: OutgoingMessage): { seq: number; duplicate: boolean } {
    if (this.ids.has(message.messageId)) return { seq: 0, duplicate: true };
    this.ids.add(message.messageId);
    const stored: Stored = { ...message, seq: this.messages.length + 1, storedAtMs: Date.UTC(2026, 0, 1) };
    this.messages.push(stored);
    for (const consumer of this.consumers.values()) this.offer(consumer, stored);
    return { seq: stored.seq, duplicate: false };
  }

  /** Takes the messages of a consumer from now on, in place of whoever did before. */
  take(spec: ConsumerSpec, taker: Taker): () => void {
    const consumer = this.consumerOf(spec);
    consumer.taker = taker;
    const end = (): void => {
      if (consumer.taker === taker) consumer.taker = null;
    };
    taker.process.onDeath(end);
    for (const pending of consumer.pending.values()) pending.underWay = false;
    this.giveOut(consumer);
    return end;
  }

  private consumerOf(spec: ConsumerSpec): Consumer {
    let consumer = this.consumers.get(spec.durable);
    if (consumer === undefined) {
      consumer = { spec, pending: new Map(), taker: null };
      this.consumers.set(spec.durable, consumer);
      for (const message of this.messages) this.offer(consumer, message);
    }
    return consumer;
  }

  private offer(consumer: Consumer, message: Stored): void {
    if (!subjectMatches(consumer.spec.filter, message.subject)) return;
    consumer.pending.set(message.seq, { message, deliveries: 0, underWay: false });
    this.giveOut(consumer);
  }

  private giveOut(consumer: Consumer): void {
    const { taker } = consumer;
    if (taker === null) return;
    for (const pending of consumer.pending.values()) {
      if (pending.underWay) continue;
      pending.underWay = true;
      pending.deliveries += 1;
      this.repeat(consumer, pending, settle_ms_max);
      taker.link.carry(() => taker.process.whenRunning(() => void this.handle(consumer, taker, pending)));
    }
  }

  private repeat(consumer: Consumer, pending: Pending, after_ms: number): void {
    const { deliveries } = pending;
    this.time.at(this.time.now_ms + after_ms, () => {
      if (pending.deliveries !== deliveries) return;
      pending.underWay = false;
      this.giveOut(consumer);
    });
  }

  /** Never rejects. */
  private async handle(consumer: Consumer, taker: Taker, pending: Pending): Promise<void> {
    const settled = (): void => void consumer.pending.delete(pending.message.seq);
    try {
      await taker.take(deliveryOf(pending));
      taker.link.carry(settled);
    } catch (error) {
      if (error instanceof Poison) taker.link.carry(settled);
      else this.repeat(consumer, pending, again_ms);
    }
  }
}

function deliveryOf({ message, deliveries }: Pending): Delivery {
  const bytes = typeof message.body === 'string' ? Buffer.from(message.body) : message.body;
  return {
    body: JSON.parse(Buffer.from(bytes).toString('utf8')) as unknown,
    bytes,
    subject: message.subject,
    headers: { ...message.headers },
    seq: message.seq,
    storedAtMs: message.storedAtMs,
    deliveries,
    working: () => undefined,
    // A dead letter: it is settled all the same.
    reject: () => undefined,
    later: () => undefined,
  };
}

import type { JsMsg } from '@nats-io/jetstream';
import { BaseRpcContext, type MessageHandler } from '@nestjs/microservices';
import { isObservable, lastValueFrom } from 'rxjs';
import { Actor, eventHeaders, type ConsumerSpec } from '#libs/contracts';
import {
  isTraceparent,
  newTraceparent,
  runWithContext,
  spanAttributes,
  spanNames,
  traceIdOf,
  withSpan,
} from '#libs/telemetry';
import { header, readHeaders } from '../headers.js';
import { parseBody } from '../json-body.js';
import type { Messaging } from '../messaging.js';
import { Poison, type Delivery } from './delivery.js';
import { HeldMessages } from './held-messages.js';
import { Puller } from './puller.js';
import { Settlement, type NakBackoff } from './settlement.js';
import { Suspects } from './suspects.js';
import { WorkQueue } from './work-queue.js';

export interface ConsumerOptions {
  readonly spec: ConsumerSpec;
  /** What `@Consume` calls it; default the durable's name. */
  readonly name?: string;
  /** Handlers at a time; default 16, with `batch` 1. */
  readonly concurrency?: number;
  /** Hands out arrays of up to `max` messages, gathered for at most `waitMs`. */
  readonly batch?: { readonly max: number; readonly waitMs: number };
  /** Hands bodies out unread, whatever they are: the handler parses them, and says what becomes of those it cannot read. */
  readonly raw?: boolean;
}

interface Item {
  readonly message: JsMsg;
  readonly delivery: Delivery;
  /** Why the handler rejected it, once it has. */
  rejected: string | null;
  /** When the handler wants it again, from now; null: not. */
  later_ms: number | null;
}

const concurrency_default = 16;
/** After as many deliveries a message of a batch is handled alone, so that it does not hold up the others. */
const alone_after_deliveries = 5;
/** Bodies held at a time; beyond it nothing is pulled until half of them are settled. What is on its way comes on top. */
const held_bytes_max = 64 * 1024 * 1024;
const nobody = 'nats:unknown';

/** One durable consumer: pulls, hands to the handler, settles. */
export class ConsumerWorker {
  private readonly held: HeldMessages;
  private readonly queue: WorkQueue<Item>;
  private readonly settlement: Settlement;
  private readonly puller: Puller;
  private readonly suspects = new Suspects();
  private running: Promise<unknown> = Promise.resolve();
  private closing = false;

  constructor(
    private readonly messaging: Messaging,
    private readonly options: ConsumerOptions,
    private readonly handler: MessageHandler,
    backoff: NakBackoff,
  ) {
    const { spec, batch } = options;
    const concurrency = options.concurrency ?? (batch === undefined ? concurrency_default : 1);
    this.held = new HeldMessages(spec.ack_wait_ms, messaging.clock, () => messaging.isConnected());
    this.settlement = new Settlement(messaging, spec, backoff);
    this.queue = new WorkQueue<Item>(
      {
        concurrency,
        batch,
        isAlone: ({ delivery }) => delivery.deliveries > alone_after_deliveries,
        work: async (group) => this.work(group),
      },
      messaging.clock,
    );
    const prefetch = Math.min(spec.unsettled_max, Math.max(16, 2 * concurrency * (batch?.max ?? 1)));
    this.puller = new Puller(messaging, spec, prefetch, (message) => this.receive(message));
  }

  start(): void {
    this.running = Promise.all([this.puller.run(), this.held.keepAlive()]);
  }

  /** Pulls no more, gives back what waits and what is on its way, resolves when what is being handled is settled. */
  async stop(): Promise<void> {
    this.closing = true;
    // The pull ends first, or it would get back what is given back; nothing new is begun while it does.
    const pulledAll = this.puller.stop();
    for (const item of this.queue.clear()) this.end(item, (message) => this.settlement.release(message));
    await pulledAll;
    await this.queue.idle();
    this.held.stop();
    await this.running;
  }

  /** Handlers that did not end in time keep their messages no longer: others get them after `ack_wait`. */
  abandon(): void {
    this.held.stop();
  }

  private receive(message: JsMsg): void {
    if (this.closing) {
      this.settlement.release(message);
      return;
    }
    this.held.add(message);
    if (this.held.byteLength > held_bytes_max) this.puller.pause();
    const item: Item = {
      message,
      delivery: toDelivery(message, {
        reject: (reason) => (item.rejected = reason),
        later: (delay_ms) => (item.later_ms = delay_ms),
      }),
      rejected: null,
      later_ms: null,
    };
    this.queue.add(item);
  }

  /** Never rejects. */
  private async work(group: Item[]): Promise<void> {
    const { batch } = this.options;
    const first = group[0];
    if (batch !== undefined) await this.workBatch(group);
    else if (first !== undefined) await this.workSingle(first);
  }

  private async workSingle(item: Item): Promise<void> {
    const { delivery } = item;
    const { deliveries_max } = this.options.spec;
    // Handed out more often than it could fail: handling it has ended the process, again and again.
    if (delivery.deliveries > deliveries_max) {
      await this.give(item, `delivered ${delivery.deliveries} times without being settled`);
      return;
    }
    const traceparent = traceparentOf(delivery);
    const actor = Actor.safeParse(header(delivery.headers, eventHeaders.actor)).data ?? nobody;
    try {
      await this.traced(delivery.subject, traceparent, async (child) =>
        runWithContext({ actor, traceparent: child }, async () => {
          await this.invoke(this.read(delivery));
        }),
      );
      await this.endHandled(item);
    } catch (error) {
      await this.failSingle(item, error, traceIdOf(traceparent));
    }
  }

  private async failSingle(item: Item, error: unknown, traceId: string | undefined): Promise<void> {
    const { deliveries } = item.delivery;
    this.logFailure(error, [item], traceId);
    if (error instanceof Poison) await this.give(item, error.reason);
    else if (deliveries >= this.options.spec.deliveries_max)
      await this.give(item, `failed ${deliveries} times; see the log of trace ${traceId ?? 'unknown'}`);
    else this.end(item, (message) => this.settlement.nak(message));
  }

  private async workBatch(group: Item[]): Promise<void> {
    const items: Item[] = [];
    const deliveries: Delivery[] = [];
    for (const item of group)
      try {
        deliveries.push(this.read(item.delivery));
        items.push(item);
      } catch (error) {
        await this.give(item, error instanceof Poison ? error.reason : 'not readable');
      }
    if (items.length === 0) return;
    const traceparent = newTraceparent();
    try {
      await this.traced(this.options.spec.filter, traceparent, async () => this.invoke(deliveries));
    } catch (error) {
      await this.failBatch(items, error, traceIdOf(traceparent));
      return;
    }
    const now_ms = this.messaging.clock.monotonicMs();
    this.suspects.success(
      items.map(({ delivery }) => delivery.seq),
      now_ms,
    );
    for (const item of items) await this.endHandled(item);
  }

  /** As the handler, which went through, decided. */
  private async endHandled(item: Item): Promise<void> {
    const { rejected, later_ms } = item;
    if (rejected !== null) await this.give(item, rejected);
    else if (later_ms === null) this.end(item, (message) => this.settlement.ack(message));
    else this.end(item, (message) => this.settlement.later(message, later_ms));
  }

  /** The delivery with its body parsed, unless that is the handler's. Throws `Poison` for a body that cannot be read. */
  private read(delivery: Delivery): Delivery {
    return this.options.raw === true ? delivery : parsed(delivery);
  }

  private async failBatch(items: Item[], error: unknown, traceId: string | undefined): Promise<void> {
    this.logFailure(error, items, traceId);
    const [only, ...others] = items;
    if (only !== undefined && others.length === 0) {
      const { seq, deliveries } = only.delivery;
      const guilty = this.suspects.failedAlone(seq, this.messaging.clock.monotonicMs());
      if (guilty && deliveries >= this.options.spec.deliveries_max) {
        await this.give(
          only,
          `failed alone while others did not; see the log of trace ${traceId ?? 'unknown'}`,
        );
        return;
      }
    }
    for (const item of items) this.end(item, (message) => this.settlement.nak(message));
  }

  private async invoke(payload: Delivery | Delivery[]): Promise<void> {
    const returned: unknown = await this.handler(payload, new BaseRpcContext([this.options.spec.durable]));
    if (isObservable(returned)) await lastValueFrom(returned, { defaultValue: undefined });
  }

  private async give(item: Item, reason: string): Promise<void> {
    await this.settlement.dead(item.message, reason);
    this.end(item, () => undefined);
  }

  private end(item: Item, settle: (message: JsMsg) => void): void {
    settle(item.message);
    this.held.remove(item.message);
    if (this.held.byteLength < held_bytes_max / 2) this.puller.unpause();
  }

  private logFailure(error: unknown, items: Item[], traceId: string | undefined): void {
    const [first] = items;
    const fields = {
      consumer: this.options.spec.durable,
      messages: items.length,
      seq: first?.delivery.seq,
      deliveries: first?.delivery.deliveries,
      traceId,
    };
    this.messaging.logger.warn({ ...fields, err: error }, 'message not handled');
  }

  private async traced(
    destination: string,
    traceparent: string,
    work: (traceparent: string) => Promise<void>,
  ): Promise<void> {
    const attributes = {
      [spanAttributes.system]: 'nats',
      [spanAttributes.operationType]: 'process',
      [spanAttributes.destination]: destination,
      [spanAttributes.consumerGroup]: this.options.spec.durable,
    };
    await withSpan(spanNames.process, { kind: 'consumer', attributes, traceparent }, work);
  }
}

/** The delivery with its body parsed. Throws `Poison` where it is not JSON of a bounded size. */
function parsed(delivery: Delivery): Delivery {
  try {
    return { ...delivery, body: parseBody(delivery.bytes) };
  } catch (error) {
    throw new Poison(error instanceof Error ? error.message : 'not readable', { cause: error });
  }
}

function toDelivery(message: JsMsg, decisions: Pick<Delivery, 'reject' | 'later'>): Delivery {
  return {
    body: undefined,
    bytes: message.data,
    subject: message.subject,
    headers: readHeaders(message.headers),
    seq: message.seq,
    storedAtMs: message.time.getTime(),
    deliveries: message.info.deliveryCount,
    working: () => message.working(),
    ...decisions,
  };
}

function traceparentOf(delivery: Delivery): string {
  const given = header(delivery.headers, eventHeaders.traceparent);
  return given !== undefined && isTraceparent(given) ? given : newTraceparent();
}

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
import { header } from '../headers.js';
import type { Messaging } from '../messaging.js';
import { Poison, type Delivery } from './delivery.js';
import { HeldDelivery } from './held-delivery.js';
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

const concurrency_default = 16;
/** After as many deliveries a message of a batch is handled alone, so that it does not hold up the others. */
const alone_after_deliveries = 5;
/** Bodies held at a time; beyond it nothing is pulled until half of them are settled. What is on its way comes on top. */
const held_bytes_max = 64 * 1024 * 1024;
const nobody = 'nats:unknown';

/** One durable consumer: pulls, hands to the handler, settles. */
export class ConsumerWorker {
  private readonly held: HeldMessages;
  private readonly queue: WorkQueue<HeldDelivery>;
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
    this.queue = new WorkQueue<HeldDelivery>(
      {
        concurrency,
        batch,
        isAlone: ({ deliveries }) => deliveries > alone_after_deliveries,
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
    this.end(this.queue.clear(), (messages) => this.settlement.release(messages));
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
      this.settlement.release([message]);
      return;
    }
    const delivery = new HeldDelivery(message);
    this.held.add(delivery);
    if (this.held.byteLength > held_bytes_max) this.puller.pause();
    this.queue.add(delivery);
  }

  /** Never rejects. */
  private async work(group: HeldDelivery[]): Promise<void> {
    const { batch } = this.options;
    const first = group[0];
    if (batch !== undefined) await this.workBatch(group);
    else if (first !== undefined) await this.workSingle(first);
  }

  private async workSingle(delivery: HeldDelivery): Promise<void> {
    const { deliveries_max } = this.options.spec;
    // Handed out more often than it could fail: handling it has ended the process, again and again.
    if (delivery.deliveries > deliveries_max) {
      await this.give(delivery, `delivered ${delivery.deliveries} times without being settled`);
      return;
    }
    const traceparent = traceparentOf(delivery);
    const actor = Actor.safeParse(header(delivery.headers, eventHeaders.actor)).data ?? nobody;
    try {
      await this.traced(delivery.subject, traceparent, async (child) =>
        runWithContext({ actor, traceparent: child }, async () => {
          this.read(delivery);
          await this.invoke(delivery);
        }),
      );
      await this.endHandled([delivery]);
    } catch (error) {
      await this.failSingle(delivery, error, traceIdOf(traceparent));
    }
  }

  private async failSingle(
    delivery: HeldDelivery,
    error: unknown,
    traceId: string | undefined,
  ): Promise<void> {
    const { deliveries } = delivery;
    this.logFailure(error, [delivery], traceId);
    if (error instanceof Poison) await this.give(delivery, error.reason);
    else if (deliveries >= this.options.spec.deliveries_max)
      await this.give(delivery, `failed ${deliveries} times; see the log of trace ${traceId ?? 'unknown'}`);
    else this.end([delivery], (messages) => this.settlement.nak(messages));
  }

  private async workBatch(group: HeldDelivery[]): Promise<void> {
    const deliveries = await this.readable(group);
    if (deliveries.length === 0) return;
    const traceparent = newTraceparent();
    try {
      await this.traced(this.options.spec.filter, traceparent, async () => this.invoke(deliveries));
    } catch (error) {
      await this.failBatch(deliveries, error, traceIdOf(traceparent));
      return;
    }
    this.suspects.success(deliveries, this.messaging.clock.monotonicMs());
    await this.endHandled(deliveries);
  }

  /** Those that could be read; the others are given up. */
  private async readable(group: readonly HeldDelivery[]): Promise<HeldDelivery[]> {
    const readable: HeldDelivery[] = [];
    for (const delivery of group)
      try {
        this.read(delivery);
        readable.push(delivery);
      } catch (error) {
        await this.give(delivery, error instanceof Poison ? error.reason : 'not readable');
      }
    return readable;
  }

  /** As the handler, which went through, decided. Acknowledgements wait for nothing and go out together. */
  private async endHandled(deliveries: readonly HeldDelivery[]): Promise<void> {
    const done = deliveries.filter(({ rejected, later_ms }) => rejected === null && later_ms === null);
    this.end(done, (messages) => this.settlement.ack(messages));
    if (done.length === deliveries.length) return;
    for (const delivery of deliveries) {
      const { rejected, later_ms } = delivery;
      if (rejected !== null) await this.give(delivery, rejected);
      else if (later_ms !== null)
        this.end([delivery], () => this.settlement.later(delivery.message, later_ms));
    }
  }

  /** Parses the body, unless that is the handler's. Throws `Poison` for one that cannot be read. */
  private read(delivery: HeldDelivery): void {
    if (this.options.raw !== true) delivery.parse();
  }

  private async failBatch(
    deliveries: readonly HeldDelivery[],
    error: unknown,
    traceId: string | undefined,
  ): Promise<void> {
    this.logFailure(error, deliveries, traceId);
    const [only, ...others] = deliveries;
    if (only !== undefined && others.length === 0) {
      const guilty = this.suspects.failedAlone(only.seq, this.messaging.clock.monotonicMs());
      if (guilty && only.deliveries >= this.options.spec.deliveries_max) {
        await this.give(
          only,
          `failed alone while others did not; see the log of trace ${traceId ?? 'unknown'}`,
        );
        return;
      }
    }
    this.end(deliveries, (messages) => this.settlement.nak(messages));
  }

  private async invoke(payload: Delivery | Delivery[]): Promise<void> {
    const returned: unknown = await this.handler(payload, new BaseRpcContext([this.options.spec.durable]));
    if (isObservable(returned)) await lastValueFrom(returned, { defaultValue: undefined });
  }

  private async give(delivery: HeldDelivery, reason: string): Promise<void> {
    await this.settlement.dead(delivery.message, reason);
    this.end([delivery], () => undefined);
  }

  private end(deliveries: readonly HeldDelivery[], settle: (messages: JsMsg[]) => void): void {
    settle(deliveries.map(({ message }) => message));
    for (const delivery of deliveries) this.held.remove(delivery);
    if (this.held.byteLength < held_bytes_max / 2) this.puller.unpause();
  }

  private logFailure(error: unknown, deliveries: readonly HeldDelivery[], traceId: string | undefined): void {
    const [first] = deliveries;
    const fields = {
      consumer: this.options.spec.durable,
      messages: deliveries.length,
      seq: first?.seq,
      deliveries: first?.deliveries,
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

function traceparentOf(delivery: Delivery): string {
  const given = header(delivery.headers, eventHeaders.traceparent);
  return given !== undefined && isTraceparent(given) ? given : newTraceparent();
}

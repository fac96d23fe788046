import { newId, type EventAttributes, type EventData, type EventTypeName } from '#libs/contracts';
import {
  encodeSignedEvent,
  encodeSignedEvents,
  SigningKey,
  type EventToEncode,
  type OutgoingMessage,
} from '#libs/messaging';
import { anAllocationEvent, uniqueName } from '#libs/testing';

type Attributes = Partial<Omit<EventAttributes, 'type' | 'subject'>>;

/** A producer of events as specs need one: it numbers and signs, and can be made to do it wrongly. */
export class SpecProducer {
  sequence = 0;

  constructor(
    readonly source: string,
    readonly key: SigningKey,
    readonly incarnation = newId(),
  ) {}

  async event<T extends EventTypeName>(
    type: T,
    subjectId: string,
    data: EventData<T>,
    attributes: Attributes = {},
  ): Promise<OutgoingMessage> {
    return await encodeSignedEvent(this.numbered(type, subjectId, data, attributes), this.key);
  }

  /** Takes the next number, unless one is asked for. */
  numbered<T extends EventTypeName>(
    type: T,
    subjectId: string,
    data: EventData<T>,
    attributes: Attributes = {},
  ): EventToEncode<T> {
    const time = attributes.time ?? new Date().toISOString();
    return {
      ...{ type, subjectId, data, actor: 'service:spec' },
      ...{ time, id: newId(Date.parse(time)), source: this.source, incarnation: this.incarnation },
      sequence: attributes.sequence ?? (this.sequence += 1),
      ...attributes,
    };
  }

  /** The next event of its kind: of a host that a bot runs, of a service that one is placed. */
  async next(attributes: Attributes = {}, host = this.host): Promise<OutgoingMessage> {
    return await encodeSignedEvent(this.nextNumbered(attributes, host), this.key);
  }

  nextNumbered(attributes: Attributes = {}, host = this.host): EventToEncode {
    const type = this.source.startsWith('/agent/')
      ? ('tradefleet.allocation.running' as const)
      : ('tradefleet.allocation.placed' as const);
    const data = anAllocationEvent({ host });
    return this.numbered(type, data.allocation, data, attributes);
  }

  /** The next ones, signed together as whoever publishes them does. */
  async many(count: number): Promise<OutgoingMessage[]> {
    const events = Array.from({ length: count }, () => this.nextNumbered());
    return await encodeSignedEvents(events, this.key);
  }

  /** The same producer after a restart. */
  restarted(key = this.key): SpecProducer {
    return new SpecProducer(this.source, key);
  }

  get host(): string {
    return this.source.startsWith('/agent/') ? this.source.slice('/agent/'.length) : 'spec';
  }

  static async agent(name = uniqueName('host')): Promise<SpecProducer> {
    return new SpecProducer(`/agent/${name}`, await SigningKey.generate());
  }
}

/** What the scheduler tells when a host has registered. */
export async function registrationOf(scheduler: SpecProducer, agent: SpecProducer): Promise<OutgoingMessage> {
  return await scheduler.event('tradefleet.host.registered', agent.host, {
    ...{ host: agent.host, incarnation: agent.incarnation, reason: null },
    signingKey: agent.key.publicJwk,
  });
}

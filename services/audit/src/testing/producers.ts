import { newId, type EventAttributes, type EventData, type EventTypeName } from '#libs/contracts';
import { encodeSignedEvent, SigningKey, type EventToEncode, type OutgoingMessage } from '#libs/messaging';
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
    const time = attributes.time ?? new Date().toISOString();
    const event: EventToEncode<T> = {
      ...{ type, subjectId, data, actor: 'service:spec' },
      ...{ time, id: newId(Date.parse(time)), source: this.source, incarnation: this.incarnation },
      // A number of its own is given where none is asked for.
      sequence: attributes.sequence ?? (this.sequence += 1),
      ...attributes,
    };
    return await encodeSignedEvent(event, this.key);
  }

  /** The next event of its kind: of a host that a bot runs, of a service that one is placed. */
  async next(attributes: Attributes = {}, host = this.host): Promise<OutgoingMessage> {
    const type = this.source.startsWith('/agent/')
      ? ('tradefleet.allocation.running' as const)
      : ('tradefleet.allocation.placed' as const);
    const data = anAllocationEvent({ host });
    return await this.event(type, data.allocation, data, attributes);
  }

  async many(count: number): Promise<OutgoingMessage[]> {
    const messages: OutgoingMessage[] = [];
    for (let made = 0; made < count; made += 1) messages.push(await this.next());
    return messages;
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

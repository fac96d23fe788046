import { type AllocationEventData, type EventTypeName, newId, type PublicJwk } from '#libs/contracts';
import {
  encodeSignedEvents,
  events_per_signature_max,
  type EventToEncode,
  type OutgoingMessage,
  SigningKey,
} from '#libs/messaging';

interface Producer {
  readonly source: string;
  readonly incarnation: string;
  readonly key: SigningKey;
  sequence: number;
}

type Told = {
  [T in EventTypeName]: Pick<EventToEncode<T>, 'type' | 'subjectId' | 'data' | 'actor'>;
}[EventTypeName];

const tenants = 8;
const people = ['user:ada', 'user:grace', 'user:edsger', 'user:barbara'];
/** Made at a time, the scheduler's half of which is one pass of its relay. */
const together_max = 1000;

/** An event that has its number, and whose it is. */
interface Made {
  readonly producer: Producer;
  readonly event: EventToEncode;
}

/**
 * Events as a busy fleet makes them: half from agents, half from the scheduler, a fifth of all by a person, some with a
 * reason in words. Numbered by their producers, and signed by them as in production: one signature for as
 * many as may share one, of those that a producer has waiting.
 */
export class Workload {
  private readonly agents: readonly Producer[];
  private made = 0;
  private signatures = 0;
  private signedEvents = 0;

  private constructor(
    private readonly scheduler: Producer,
    agents: readonly Producer[],
  ) {
    this.agents = agents;
  }

  static async create(scheduler: SigningKey, hosts: readonly string[]): Promise<Workload> {
    const producer = (source: string, key: SigningKey): Producer => ({
      ...{ source, key, incarnation: newId(), sequence: 0 },
    });
    const agents = await Promise.all(
      hosts.map(async (host) => producer(`/agent/${host}`, await SigningKey.generate())),
    );
    return new Workload(producer('/scheduler', scheduler), agents);
  }

  /** What must be recorded before events of the hosts are. */
  async registrations(): Promise<OutgoingMessage[]> {
    return await this.signed(
      this.agents.map(({ source, incarnation, key }) => {
        const host = hostOf(source);
        const { kty, crv, x } = key.publicJwk;
        const data = { host, incarnation, reason: null, signingKey: { kty, crv, x } };
        return numbered(this.scheduler, {
          ...{ type: 'tradefleet.host.registered', subjectId: host, data, actor: `host:${host}` },
        });
      }),
    );
  }

  /** How many shared a signature so far, on average. */
  eventsPerSignature(): number {
    return this.signedEvents / Math.max(1, this.signatures);
  }

  /** What the events of a source are signed with. */
  keyOf(source: string): PublicJwk | undefined {
    return [this.scheduler, ...this.agents].find((producer) => producer.source === source)?.key.publicJwk;
  }

  /** The next events, in their order. @param together as many at a time as wait for their producers to publish them */
  async next(count: number, together = together_max): Promise<OutgoingMessage[]> {
    const messages: OutgoingMessage[] = [];
    while (messages.length < count) {
      const size = Math.min(together, count - messages.length);
      messages.push(...(await this.signed(Array.from({ length: size }, () => this.one()))));
    }
    return messages;
  }

  private one(): Made {
    const n = (this.made += 1);
    const agent = this.agents[n % this.agents.length];
    const host = agent === undefined ? 'host' : hostOf(agent.source);
    const tenant = `tenant-${n % tenants}`;
    const account = `account-${n % 997}`;
    const bot = `bot-${n % 997}`;
    const person = people[n % people.length] ?? 'user:ada';
    const operation = newId();
    const allocation: AllocationEventData = {
      ...{ allocation: newId(), tenant, bot, account, host, epoch: 1 + (n % 50), attempt: 1 },
      ...{ state: 'running', stage: null, reason: null, detail: null, exitCode: null },
    };
    const about = { subjectId: allocation.allocation, data: allocation };
    if (n % 2 === 0 && agent !== undefined)
      return numbered(agent, {
        ...about,
        ...{ type: n % 4 === 0 ? 'tradefleet.allocation.running' : 'tradefleet.allocation.starting' },
        actor: `host:${host}`,
      });
    switch (n % 10) {
      case 1:
        return numbered(this.scheduler, {
          ...{ type: 'tradefleet.operation.accepted', subjectId: operation, actor: person },
          data: { operation, kind: 'bots.start', state: 'running', total: 1, failed: 0 },
        });
      case 3:
        return numbered(this.scheduler, {
          ...{ type: 'tradefleet.bot.stop-requested', subjectId: bot, actor: person },
          data: { tenant, bot, account, generation: 2, operation, reason: 'taken down for maintenance' },
        });
      default:
        return numbered(this.scheduler, {
          ...{ type: 'tradefleet.allocation.placed', actor: 'service:scheduler' },
          ...{ ...about, data: { ...allocation, state: 'placed' } },
        });
    }
  }

  /** In their order; those of each producer by what signs them in production. */
  private async signed(made: readonly Made[]): Promise<OutgoingMessage[]> {
    const messages = new Map<EventToEncode, OutgoingMessage>();
    for (const producer of new Set(made.map((one) => one.producer))) {
      const events = made.flatMap((one) => (one.producer === producer ? one.event : []));
      const encoded = await encodeSignedEvents(events, producer.key);
      this.signedEvents += events.length;
      this.signatures += Math.ceil(events.length / events_per_signature_max);
      for (const [index, event] of events.entries()) {
        const message = encoded[index];
        if (message !== undefined) messages.set(event, message);
      }
    }
    return made.flatMap(({ event }) => messages.get(event) ?? []);
  }
}

function numbered(producer: Producer, told: Told): Made {
  const { source, incarnation } = producer;
  const wall_ms = Date.now();
  const number = { source, incarnation, sequence: (producer.sequence += 1) };
  const event = { ...told, ...number, id: newId(wall_ms), time: new Date(wall_ms).toISOString() };
  return { producer, event };
}

const hostOf = (source: string): string => source.slice('/agent/'.length);

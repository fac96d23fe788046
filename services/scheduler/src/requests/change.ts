import type { EventData, EventTypeName } from '#libs/contracts';
import type { NewEvent, Outbox, Transaction } from '#libs/persistence';
import type { Asker } from './asker.js';

type WithoutAsker<E> = E extends NewEvent ? Omit<E, 'actor' | 'traceparent'> : never;
/** An event before it is said who asked for what led to it. */
export type Fact = WithoutAsker<NewEvent>;

/** One write while it is carried out: its transaction, who asked, and the events it leaves in the outbox. */
export class Change {
  constructor(
    readonly tx: Transaction,
    readonly asker: Asker,
    private readonly outbox: Outbox,
  ) {}

  get actor(): string {
    return this.asker.actor;
  }

  /** Appends an event about the entity `id`; it is published when the transaction has committed. */
  async event<T extends EventTypeName>(type: T, id: string, data: EventData<T>): Promise<void> {
    await this.events([{ type, id, data } as Fact]);
  }

  /** Many at once, in their order; who asked is added. */
  async events(events: readonly Fact[]): Promise<void> {
    const { actor, traceparent } = this.asker;
    await this.outbox.events(
      this.tx,
      events.map((event) => ({ ...event, actor, traceparent })),
    );
  }
}

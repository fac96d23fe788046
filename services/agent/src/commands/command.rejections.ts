import { Inject, Injectable } from '@nestjs/common';
import { Id, type ProblemError } from '#libs/contracts';
import { header, type Delivery } from '#libs/messaging';
import { LOGGER, isTraceparent, type Logger } from '#libs/telemetry';
import { EventSpool } from '#libs/spool';
import { EventRoom } from '../events/event-room.js';
import { Identity } from '../identity/identity.js';
import { AgentDatabase } from '../state/agent.database.js';

/** Stands for the id of a command that has none that can be read. */
const nameless = 'unknown';

/** Tells of commands that were not obeyed: somebody may be trying to give orders. */
@Injectable()
export class CommandRejections {
  #count = 0;

  constructor(
    private readonly db: AgentDatabase,
    private readonly spool: EventSpool,
    private readonly room: EventRoom,
    private readonly identity: Identity,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  /** How many since the start. */
  get count(): number {
    return this.#count;
  }

  /**
   * Resolves once the rejection is durable as an event.
   * @throws NoRoom so that the message stays with the broker until it can be told of
   */
  async report(problem: ProblemError, delivery: Delivery): Promise<void> {
    const { command, allocation, verb } = claims(delivery.body);
    const traceparent = header(delivery.headers, 'traceparent') ?? '';
    await this.db.commit(() => {
      this.room.require();
      this.spool.append({
        type: 'tradefleet.command.rejected',
        subjectId: command ?? nameless,
        data: {
          host: this.identity.host,
          command,
          allocation,
          verb,
          code: problem.code,
          detail: problem.detail.slice(0, 300),
        },
        actor: this.identity.actor,
        traceparent: isTraceparent(traceparent) ? traceparent : null,
      });
    });
    this.#count += 1;
    this.logger.error({ code: problem.code, command, allocation, rejected: this.#count }, 'command rejected');
  }
}

/** What an unverified message says it is; for people who look into it, and believed by nobody. */
function claims(body: unknown): { command: string | null; allocation: string | null; verb: string | null } {
  const of = (name: string): unknown =>
    typeof body === 'object' && body !== null ? (body as Record<string, unknown>)[name] : undefined;
  const id = (name: string): string | null => Id.safeParse(of(name)).data ?? null;
  const verb = of('verb');
  return {
    command: id('id'),
    allocation: id('allocation'),
    verb: typeof verb === 'string' ? verb.replaceAll(/[^\w-]/g, '?').slice(0, 32) : null,
  };
}

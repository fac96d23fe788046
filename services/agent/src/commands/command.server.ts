import { Inject, Injectable } from '@nestjs/common';
import { consumers } from '#libs/contracts';
import { JetStreamServer, type Delivery } from '#libs/messaging';
import { LOGGER, type Logger } from '#libs/telemetry';
import { Broker } from '../host/broker.js';
import { listening } from '../host/listening.js';
import { Identity } from '../identity/identity.js';
import { CommandIntake } from './command.intake.js';

/** Commands taken in at a time; they share commits. */
const concurrency = 64;

/** Pulls this host's commands. Started last, when everything that runs has been adopted or killed. */
@Injectable()
export class CommandServer {
  #server: JetStreamServer | null = null;

  constructor(
    private readonly broker: Broker,
    private readonly identity: Identity,
    private readonly intake: CommandIntake,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  /** Returns at once; the consumer, which the scheduler makes, is looked for until it is there. */
  async start(): Promise<void> {
    const spec = consumers.agentCommands(this.identity.host);
    const server = new JetStreamServer(this.broker.messaging, { consumers: [{ spec, concurrency }] });
    const extras = { kind: 'consume', consumer: spec.durable };
    server.addHandler(
      spec.durable,
      async (delivery: Delivery) => await this.intake.take(delivery),
      true,
      extras,
    );
    await listening(server);
    this.#server = server;
    this.logger.info({ consumer: spec.durable }, 'commands are taken');
  }

  /** Takes no more and settles what was taken. */
  async close(): Promise<void> {
    await this.#server?.close();
  }
}

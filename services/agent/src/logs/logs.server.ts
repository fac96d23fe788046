import { Inject, Injectable } from '@nestjs/common';
import { LogsRequest, LogsReply, ProblemError, subjects } from '#libs/contracts';
import { RequestReplyServer } from '#libs/messaging';
import type { z } from 'zod';
import { AllocationsService } from '../allocations/allocations.service.js';
import { DRIVER, DriverError, type Driver } from '../drivers/driver.js';
import { Broker } from '../host/broker.js';
import { listening } from '../host/listening.js';
import { Identity } from '../identity/identity.js';
import { LastLogs } from './last-logs.js';

/** Requests for logs at a time: each reads from the engine. */
const concurrencyMax = 4;

/** Answers who asks for the last lines of a bot's output, also of one that has ended lately. */
@Injectable()
export class LogsServer {
  #server: RequestReplyServer | null = null;

  constructor(
    private readonly broker: Broker,
    private readonly identity: Identity,
    private readonly allocations: AllocationsService,
    private readonly lastLogs: LastLogs,
    @Inject(DRIVER) private readonly driver: Driver,
  ) {}

  async start(): Promise<void> {
    const subject = subjects.agentLogs(this.identity.host);
    const server = new RequestReplyServer(this.broker.messaging, { queue: 'agent-logs', concurrencyMax });
    const extras = { kind: 'request', name: subject, api: null, schema: LogsRequest, pool: 'internal' };
    server.addHandler(
      subject,
      async (body: z.output<typeof LogsRequest>) => await this.read(body),
      false,
      extras,
    );
    await listening(server);
    this.#server = server;
  }

  async close(): Promise<void> {
    await this.#server?.close();
  }

  /** @throws ProblemError wrong_host, bot_not_found (no container of the allocation is here), unavailable */
  async read({ host, allocation, lines }: z.output<typeof LogsRequest>): Promise<z.output<typeof LogsReply>> {
    if (host !== this.identity.host) {
      throw new ProblemError('wrong_host', `Ask host ${host}; this is host ${this.identity.host}.`);
    }
    const handle = this.allocations.handleOf(allocation);
    if (handle === null) {
      const last = this.lastLogs.read(allocation, lines);
      if (last !== null) return { lines: last };
      throw new ProblemError(
        'bot_not_found',
        "Ask for the bot's present allocation: this one has no container here, and no last lines are kept of it.",
      );
    }
    try {
      const read = await this.driver.logs(handle, lines);
      return { lines: read.map(({ at, stream, text }) => ({ at, stream, text: text.slice(0, 8192) })) };
    } catch (cause) {
      if (!(cause instanceof DriverError)) throw cause;
      // It has just been removed: its last lines were saved before.
      const last = cause.fault === 'task-missing' ? this.lastLogs.read(allocation, lines) : null;
      if (last !== null) return { lines: last };
      throw new ProblemError('unavailable', 'Try again: the container engine did not answer.', { cause });
    }
  }
}

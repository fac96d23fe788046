import { Controller, Get, Req } from '@nestjs/common';
import { LogsReply, LogsRequest, ProblemError, subjects } from '#libs/contracts';
import { Messaging } from '#libs/messaging';
import type { FastifyRequest } from 'fastify';
import type { z } from 'zod';
import { ApiForwarder } from '../api/api.forwarder.js';

const agent_timeout_ms = 8000;

/** The last log lines of a bot, from the agent of the host it runs on. */
@Controller('api/v1/bots/:name/logs')
export class LogsController {
  constructor(
    private readonly forwarder: ApiForwarder,
    private readonly messaging: Messaging,
  ) {}

  @Get()
  async tail(@Req() request: FastifyRequest): Promise<z.infer<typeof LogsReply>> {
    const { name } = request.params as { name: string };
    const bot = await this.forwarder.forward('bots.get', { name }, request);
    const allocation = bot.status.allocation;
    if (allocation === null)
      throw new ProblemError(
        'invalid_transition',
        `Start the bot first: ${name} has never run, so it has no log.`,
      );
    const { lines } = request.query as { lines?: string };
    const asked = LogsRequest.safeParse({
      host: allocation.host,
      allocation: allocation.id,
      ...(lines === undefined ? {} : { lines: Number(lines) }),
    });
    if (!asked.success) throw ProblemError.fromZod(asked.error, 'the number of lines');
    return this.forwarder.inContext(request, async () =>
      LogsReply.parse(
        await this.messaging.request(subjects.agentLogs(allocation.host), asked.data, {
          timeoutMs: agent_timeout_ms,
        }),
      ),
    );
  }
}

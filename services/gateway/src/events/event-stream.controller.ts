import { Controller, Get, Req, Res } from '@nestjs/common';
import { ProblemError, subjects } from '#libs/contracts';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { EventStreams } from './event.streams.js';

/** Live events as server-sent events; `?entity=bot` keeps one kind. `Last-Event-ID` goes on where a client was. */
@Controller('api/v1/events')
export class EventStreamController {
  constructor(private readonly streams: EventStreams) {}

  @Get('stream')
  async stream(@Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    const { entity } = request.query as { entity?: unknown };
    if (entity !== undefined && !(typeof entity === 'string' && /^[a-z]{1,40}$/.test(entity)))
      throw new ProblemError(
        'invalid_request',
        'Give ?entity= one kind of entity, such as allocation, or leave it out.',
      );
    const last = request.headers['last-event-id'];
    const sinceSeq = typeof last === 'string' && /^\d{1,15}$/.test(last) ? Number(last) + 1 : undefined;
    const filter = entity === undefined ? subjects.eventsAll() : subjects.eventsOf(entity);
    await this.streams.open(filter, sinceSeq, request, reply);
  }
}

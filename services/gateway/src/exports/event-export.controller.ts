import { Controller, Get, Req, Res } from '@nestjs/common';
import { EventExport, ProblemError } from '#libs/contracts';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { EventExports } from './event.exports.js';

/** All events that fit, as a file: `?format=ndjson|csv` and the filters of `events.query`. */
@Controller('api/v1/events')
export class EventExportController {
  constructor(private readonly exports_: EventExports) {}

  @Get('export')
  async export(@Req() request: FastifyRequest, @Res() reply: FastifyReply): Promise<void> {
    const asked = EventExport.safeParse(request.query);
    if (!asked.success) throw ProblemError.fromZod(asked.error, 'the export');
    await this.exports_.write(asked.data, request, reply);
  }
}

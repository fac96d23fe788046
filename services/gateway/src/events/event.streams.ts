import { type BeforeApplicationShutdown, Inject, Injectable } from '@nestjs/common';
import { CLOCK, type Clock } from '#libs/clock';
import { eventTypes, type FleetEvent, ProblemError } from '#libs/contracts';
import { decodeEvent, Messaging, parseBody, type TailedMessage } from '#libs/messaging';
import { LOGGER, type Logger } from '#libs/telemetry';
import type { FastifyReply, FastifyRequest } from 'fastify';

const streams_max = 100;
/** A client that leaves this much unread is cut off; it comes back with Last-Event-ID. */
const unread_bytes_max = 1024 * 1024;
/** Comment lines keep connections open and show when a client has gone. */
const ping_ms = 15_000;

/** The open event streams: bounded in number and in what each may leave unread. */
@Injectable()
export class EventStreams implements BeforeApplicationShutdown {
  private readonly open_ = new Set<AbortController>();

  constructor(
    private readonly messaging: Messaging,
    @Inject(CLOCK) private readonly clock: Clock,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  /** Streams until the client goes, reads too slowly, or the gateway stops. */
  async open(
    filter: string,
    sinceSeq: number | undefined,
    request: FastifyRequest,
    reply: FastifyReply,
  ): Promise<void> {
    if (this.open_.size >= streams_max)
      throw new ProblemError(
        'unavailable',
        `Close another stream first: at most ${streams_max} may be open.`,
      );
    const ended = new AbortController();
    this.open_.add(ended);
    request.raw.once('close', () => ended.abort());
    try {
      const write = startWriting(reply, ended);
      const stop = await this.messaging.tail(filter, (message) => write(this.render(message)), {
        ...(sinceSeq === undefined ? { newOnly: true } : { sinceSeq }),
      });
      write(': open\n\n');
      await this.pingUntilEnd(write, ended.signal);
      await stop();
    } finally {
      this.open_.delete(ended);
      reply.raw.end();
    }
  }

  beforeApplicationShutdown(): void {
    for (const ended of this.open_) ended.abort();
  }

  private async pingUntilEnd(write: (text: string) => void, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        await this.clock.sleep(ping_ms, signal);
        write(': ping\n\n');
      } catch {
        return; // aborted: the stream has ended
      }
    }
  }

  private render(message: TailedMessage): string {
    try {
      const { type, attributes, data, entity, entityId } = decodeEvent({
        ...message,
        body: parseBody(message.bytes),
      });
      const { severity } = eventTypes[type];
      const event: FleetEvent = { ...attributes, entity, entityId, severity, data };
      return `id: ${message.seq}\nevent: event\ndata: ${JSON.stringify(event)}\n\n`;
    } catch (error) {
      // The audit service quarantines it; a live view only goes on.
      this.logger.warn(
        { err: error, seq: message.seq },
        'event that does not decode is left out of the stream',
      );
      return '';
    }
  }
}

function startWriting(reply: FastifyReply, ended: AbortController): (text: string) => void {
  reply.hijack();
  reply.raw.writeHead(200, {
    'content-type': 'text/event-stream; charset=utf-8',
    'cache-control': 'no-store',
    'x-accel-buffering': 'no',
  });
  return (text) => {
    if (ended.signal.aborted || text === '') return;
    reply.raw.write(text);
    if (reply.raw.writableLength > unread_bytes_max) ended.abort();
  };
}

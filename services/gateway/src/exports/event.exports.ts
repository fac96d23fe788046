import { type BeforeApplicationShutdown, Inject, Injectable } from '@nestjs/common';
import { CLOCK, type Clock } from '#libs/clock';
import { type EventExport, type EventFilter, type EventPage, limits, ProblemError } from '#libs/contracts';
import { LOGGER, type Logger } from '#libs/telemetry';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { ApiForwarder } from '../api/api.forwarder.js';
import { writtenFormats } from './export.formats.js';
import { SlowReader } from './slow.reader.js';

/** At a time; each holds two pages at most, whatever the size of the log. */
const exports_max = 8;
/** A client that takes nothing for as long is cut off. */
const stall_ms_max = 60_000;
/** Pauses before a page is asked for again while the audit service is away: half a minute in all. */
const pauses_ms = [250, 500, 1000, 2000, 4000, 8000, 8000, 8000] as const;

/** Why an export ends before its end. */
class ClientGone extends Error {
  override readonly name = 'ClientGone';
}

interface Asking {
  readonly filter: EventFilter;
  readonly request: FastifyRequest;
  readonly signal: AbortSignal;
}

/** Exports of the log: page after page of the audit service, as fast as the client reads. */
@Injectable()
export class EventExports implements BeforeApplicationShutdown {
  private readonly open_ = new Set<AbortController>();
  private allEnded: (() => void) | null = null;

  constructor(
    private readonly forwarder: ApiForwarder,
    @Inject(CLOCK) private readonly clock: Clock,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  /** What goes wrong before the first event is thrown; later it is written last, and the connection cut. */
  async write(
    { format, ...filter }: EventExport,
    request: FastifyRequest,
    reply: FastifyReply,
  ): Promise<void> {
    if (this.open_.size >= exports_max)
      throw new ProblemError('unavailable', `Wait for another export: at most ${exports_max} run at a time.`);
    const ended = new AbortController();
    this.open_.add(ended);
    reply.raw.once('close', () => ended.abort(new ClientGone('The client has gone.')));
    const asking = { filter, request, signal: ended.signal };
    try {
      const first = await this.page(asking, null);
      reply.hijack();
      await this.writeAll(format, first, asking, reply);
    } catch (error) {
      if (!(error instanceof ClientGone)) throw error;
      this.logger.info({ format }, 'export ended: the client has gone');
    } finally {
      this.open_.delete(ended);
      if (this.open_.size === 0) this.allEnded?.();
    }
  }

  /** Every client is told before the connections are closed. */
  async beforeApplicationShutdown(): Promise<void> {
    if (this.open_.size === 0) return;
    const ended = new Promise<void>((resolve) => (this.allEnded = resolve));
    for (const open of this.open_)
      open.abort(new ProblemError('unavailable', 'Export again: the gateway is stopping.'));
    await ended;
  }

  private async writeAll(
    format: EventExport['format'],
    first: EventPage,
    asking: Asking,
    { raw }: FastifyReply,
  ): Promise<void> {
    const { contentType, head, rows, failure } = writtenFormats[format];
    const reader = new SlowReader(raw, this.clock, stall_ms_max);
    let events = 0;
    raw.writeHead(200, {
      'content-type': contentType,
      'content-disposition': `attachment; filename="events.${format}"`,
      'cache-control': 'no-store',
      'x-content-type-options': 'nosniff',
    });
    try {
      await reader.write(head, asking.signal);
      for (let page: EventPage | null = first; page !== null;) {
        const next = this.ahead(asking, page.next);
        await reader.write(rows(page.events), asking.signal);
        events += page.events.length;
        page = await next;
      }
      raw.end();
      this.logger.info({ format, events }, 'export ended');
    } catch (error) {
      if (error instanceof ClientGone) throw error;
      this.logger.warn({ err: error, format, events }, 'export cut short');
      const problem =
        error instanceof ProblemError
          ? error
          : new ProblemError('internal', 'Export again: this one failed.', { cause: error });
      await reader.cut(failure(problem));
    }
  }

  /** The next page, asked for while this one is still being read. */
  private ahead(asking: Asking, after: string | null): Promise<EventPage | null> {
    if (after === null) return Promise.resolve(null);
    const page = this.page(asking, after);
    // Whoever awaits it is told; nobody does when the client has gone in between.
    page.catch(() => undefined);
    return page;
  }

  /** One page; but for the first one, the audit service may be away for a while. */
  private async page(asking: Asking, after: string | null): Promise<EventPage> {
    const { filter, request, signal } = asking;
    const query = {
      ...filter,
      ...(after === null ? {} : { after }),
      ...{ order: 'asc' as const, limit: limits.page_rows_max },
    };
    for (let tried = 0; ; tried += 1) {
      signal.throwIfAborted();
      try {
        return await untilAborted(this.forwarder.call('events.query', query, request), signal);
      } catch (error) {
        const pause_ms = after === null ? undefined : pauses_ms[tried];
        if (!isPassing(error) || pause_ms === undefined) throw error;
        await this.pause(pause_ms, signal);
      }
    }
  }

  private async pause(ms: number, signal: AbortSignal): Promise<void> {
    try {
      await this.clock.sleep(ms, signal);
    } catch (error) {
      signal.throwIfAborted();
      throw error;
    }
  }
}

/** As the work ends, or at once with the reason when the signal aborts. */
async function untilAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return await new Promise<T>((resolve, reject) => {
    const stop = () => reject(signal.reason as Error);
    signal.addEventListener('abort', stop, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', stop));
  });
}

const isPassing = (error: unknown): boolean => error instanceof ProblemError && error.retry;

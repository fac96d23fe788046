import {
  Inject,
  Injectable,
  type BeforeApplicationShutdown,
  type OnApplicationBootstrap,
} from '@nestjs/common';
import { CLOCK, type Clock } from '#libs/clock';
import { EventSpool, SpoolFile, SpoolPublisher, type RecordedEvent } from '#libs/spool';
import { LOGGER, type Logger } from '#libs/telemetry';
import type { FastifyRequest } from 'fastify';

/** Refusals that wait in memory to be written; what comes beyond is counted in the log. */
const unwritten_max = 1000;
/** Events a minute: a scan of the door must not fill the audit log. What comes beyond is counted. */
const a_minute_max = 120;
/** Longest a shutdown waits for events to reach the broker; the rest is published at the next start. */
const flush_ms_max = 2000;

/** Tells the audit log who was turned away, by way of the spool. */
@Injectable()
export class SessionEvents implements OnApplicationBootstrap, BeforeApplicationShutdown {
  private readonly stopping = new AbortController();
  private readonly writing = new Set<Promise<void>>();
  private minute = 0;
  private thisMinute = 0;
  private suppressed = 0;

  constructor(
    private readonly spool: EventSpool,
    private readonly file: SpoolFile,
    private readonly publisher: SpoolPublisher,
    @Inject(CLOCK) private readonly clock: Clock,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  onApplicationBootstrap(): void {
    this.publisher.start();
  }

  /** What is on its way is written and published before the connections close. */
  async beforeApplicationShutdown(): Promise<void> {
    this.stopping.abort();
    await Promise.all(this.writing);
    await this.publisher.flush(flush_ms_max);
    await this.publisher.close();
    this.file.close();
  }

  /** Records a request without valid credentials; never throws, never waits. */
  refused(request: FastifyRequest): void {
    this.logger.warn({ method: request.method, ip: request.ip }, 'request without valid credentials');
    if (!this.admit()) return;
    const writing = this.write({
      type: 'tradefleet.session.refused',
      subjectId: 'gateway',
      data: { method: request.method, path: pathOf(request), ip: request.ip.slice(0, 64) },
      actor: 'user:unknown',
      traceparent: null,
    });
    this.writing.add(writing);
    void writing.finally(() => this.writing.delete(writing));
  }

  /** A full disk is waited for: nobody was let in, and who it was is told once there is room. */
  private async write(event: RecordedEvent): Promise<void> {
    const wall_ms = this.clock.wallMs();
    const { clock } = this;
    try {
      await this.file.commit(() => this.spool.append(event, wall_ms), {
        clock,
        signal: this.stopping.signal,
      });
    } catch (error) {
      this.logger.error({ err: error, type: event.type }, 'event not recorded');
    }
  }

  private admit(): boolean {
    const minute = Math.floor(this.clock.monotonicMs() / 60_000);
    if (minute !== this.minute) {
      if (this.suppressed > 0)
        this.logger.warn({ suppressed: this.suppressed }, 'refusals not recorded one by one');
      Object.assign(this, { minute, thisMinute: 0, suppressed: 0 });
    }
    if (this.thisMinute < a_minute_max && this.writing.size < unwritten_max && this.spool.hasRoom) {
      this.thisMinute += 1;
      return true;
    }
    this.suppressed += 1;
    return false;
  }
}

/** Without the query: who cannot send a header may have put the token there. */
const pathOf = ({ url }: FastifyRequest): string => (url.split('?', 1)[0] ?? '').slice(0, 200);

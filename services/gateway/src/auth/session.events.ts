import {
  Inject,
  Injectable,
  type BeforeApplicationShutdown,
  type OnApplicationBootstrap,
} from '@nestjs/common';
import { CLOCK, RefusalTally, type Clock } from '#libs/clock';
import { EventSpool, SpoolFile, SpoolPublisher, type RecordedEvent } from '#libs/spool';
import { LOGGER, type Logger } from '#libs/telemetry';
import type { FastifyRequest } from 'fastify';

/** Refusals that wait in memory to be written; what comes beyond is counted in the log. */
const unwritten_max = 1000;
/** Turned away in a minute with an event each: a scan of the door must not fill the audit log. What comes beyond is counted. */
const a_minute_max = 120;
/** Other refusals in a second with an event each; of reads a quarter. */
const a_second_max = 20;
/** How often the number of those that were only counted is told. */
const report_ms = 60_000;
/** Longest a shutdown waits for events to reach the broker; the rest is published at the next start. */
const flush_ms_max = 2000;

/** Tells the audit log who was turned away and what else was refused here, by way of the spool. */
@Injectable()
export class SessionEvents implements OnApplicationBootstrap, BeforeApplicationShutdown {
  private readonly stopping = new AbortController();
  private readonly writing = new Set<Promise<void>>();
  private minute = 0;
  private thisMinute = 0;
  private readonly tally: RefusalTally;
  private reporting: Promise<void> | null = null;

  constructor(
    private readonly spool: EventSpool,
    private readonly file: SpoolFile,
    private readonly publisher: SpoolPublisher,
    @Inject(CLOCK) private readonly clock: Clock,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {
    this.tally = new RefusalTally(clock, a_second_max);
  }

  onApplicationBootstrap(): void {
    this.publisher.start();
  }

  /** What is on its way is written and published before the connections close. */
  async beforeApplicationShutdown(): Promise<void> {
    this.stopping.abort();
    await this.reporting;
    this.report();
    await Promise.all(this.writing);
    await this.publisher.flush(flush_ms_max);
    await this.publisher.close();
    this.file.close();
  }

  /** Records a request without valid credentials; never throws, never waits. */
  refused(request: FastifyRequest): void {
    this.logger.warn({ method: request.method, ip: request.ip }, 'request without valid credentials');
    if (!this.admit()) {
      this.suppress('unauthenticated', request.ip);
      return;
    }
    this.tell({
      type: 'tradefleet.session.refused',
      subjectId: 'gateway',
      data: { method: request.method, path: pathOf(request), ip: request.ip.slice(0, 64) },
      actor: 'user:unknown',
      traceparent: null,
    });
  }

  /** Records a request that this door refused although it let its sender in; never throws, never waits. */
  requestRefused(
    event: RecordedEvent<'tradefleet.request.refused' | 'tradefleet.request.read-refused'>,
  ): void {
    const { code } = event.data;
    const kind = event.type === 'tradefleet.request.refused' ? 'change' : 'read';
    if (!this.hasRoom) this.suppress(code, event.actor);
    else if (this.tally.admit(kind, code, event.actor)) this.tell(event);
    else this.reportSoon();
  }

  private tell(event: RecordedEvent): void {
    const writing = this.write(event);
    this.writing.add(writing);
    void writing.finally(() => this.writing.delete(writing));
  }

  private suppress(code: string, asker: string): void {
    this.tally.suppress(code, asker);
    this.reportSoon();
  }

  private reportSoon(): void {
    if (this.stopping.signal.aborted) return;
    this.reporting ??= this.reportLater().finally(() => (this.reporting = null));
  }

  private async reportLater(): Promise<void> {
    try {
      await this.clock.sleep(report_ms, this.stopping.signal);
    } catch {
      return; // stopping, which reports itself
    }
    this.report();
  }

  /** While there is no room they are counted on. */
  private report(): void {
    const suppressed = this.hasRoom ? this.tally.take() : null;
    if (suppressed === null) return;
    this.logger.warn({ ...suppressed }, 'refusals not recorded one by one');
    this.tell({
      type: 'tradefleet.request.refusals-suppressed',
      subjectId: 'gateway',
      data: { door: 'gateway', ...suppressed },
      actor: 'service:gateway',
      traceparent: null,
    });
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
    if (minute !== this.minute) Object.assign(this, { minute, thisMinute: 0 });
    if (this.thisMinute >= a_minute_max || !this.hasRoom) return false;
    this.thisMinute += 1;
    return true;
  }

  private get hasRoom(): boolean {
    return this.writing.size < unwritten_max && this.spool.hasRoom;
  }
}

/** Without the query: who cannot send a header may have put the token there. */
const pathOf = ({ url }: FastifyRequest): string => (url.split('?', 1)[0] ?? '').slice(0, 200);

import { Inject, Injectable, type OnModuleDestroy } from '@nestjs/common';
import { CLOCK, type Clock } from '#libs/clock';
import { newId } from '#libs/contracts';
import { encodeSignedEvent, Messaging, type OutgoingMessage } from '#libs/messaging';
import { LOGGER, type Logger } from '#libs/telemetry';
import type { FastifyRequest } from 'fastify';
import { GATEWAY_CONFIG, type GatewayConfig } from '../gateway.config.js';

/** Refusals kept while NATS is away; what comes beyond is counted in the log. */
const waiting_max = 1000;
/** Events a minute: a scan of the door must not fill the audit log. What comes beyond is counted. */
const a_minute_max = 120;

/** Tells the audit log who was turned away. The gateway has no database; these wait in memory for NATS. */
@Injectable()
export class SessionEvents implements OnModuleDestroy {
  private readonly incarnation = newId();
  private sequence = 0;
  private readonly waiting: Promise<OutgoingMessage>[] = [];
  private sending: Promise<void> | null = null;
  private minute = 0;
  private thisMinute = 0;
  private suppressed = 0;

  constructor(
    private readonly messaging: Messaging,
    @Inject(CLOCK) private readonly clock: Clock,
    @Inject(GATEWAY_CONFIG) private readonly config: GatewayConfig,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  /** Records a request without valid credentials; never throws, never waits. */
  refused(request: FastifyRequest): void {
    this.logger.warn({ method: request.method, ip: request.ip }, 'request without valid credentials');
    if (!this.admit()) return;
    this.sequence += 1;
    this.waiting.push(
      encodeSignedEvent(
        {
          type: 'tradefleet.session.refused',
          subjectId: 'gateway',
          data: { method: request.method, path: pathOf(request), ip: request.ip.slice(0, 64) },
          ...{ id: newId(), source: '/gateway', actor: 'user:unknown' },
          time: new Date(this.clock.wallMs()).toISOString(),
          ...{ incarnation: this.incarnation, sequence: this.sequence },
        },
        this.config.signingKey,
      ),
    );
    this.sending ??= this.send().finally(() => {
      this.sending = null;
    });
  }

  async onModuleDestroy(): Promise<void> {
    await this.sending;
  }

  private admit(): boolean {
    const minute = Math.floor(this.clock.monotonicMs() / 60_000);
    if (minute !== this.minute) {
      if (this.suppressed > 0)
        this.logger.warn({ suppressed: this.suppressed }, 'refusals not recorded one by one');
      Object.assign(this, { minute, thisMinute: 0, suppressed: 0 });
    }
    if (this.thisMinute < a_minute_max && this.waiting.length < waiting_max) {
      this.thisMinute += 1;
      return true;
    }
    this.suppressed += 1;
    return false;
  }

  private async send(): Promise<void> {
    for (let next = this.waiting[0]; next !== undefined; next = this.waiting[0]) {
      try {
        await this.messaging.publishDurable(await next);
        void this.waiting.shift(); // a promise that has been fulfilled
      } catch (error) {
        this.logger.warn({ err: error, waiting: this.waiting.length }, 'refusal not recorded yet');
        return; // the next refusal tries again
      }
    }
  }
}

/** Without the query: who cannot send a header may have put the token there. */
const pathOf = ({ url }: FastifyRequest): string => (url.split('?', 1)[0] ?? '').slice(0, 200);

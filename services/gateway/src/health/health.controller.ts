import { Controller, Get, Inject, Res } from '@nestjs/common';
import { subjects } from '#libs/contracts';
import { Messaging } from '#libs/messaging';
import { LOGGER, type Logger } from '#libs/telemetry';
import type { FastifyReply } from 'fastify';
import { Public } from '../auth/admin-token.guard.js';

const services = ['scheduler', 'audit', 'secrets'] as const;
const answer_ms_max = 1000;

/** `ok`, or that it does not answer. */
export interface Readiness {
  readonly status: 'ok' | 'degraded';
  readonly components: Record<'nats' | (typeof services)[number], 'ok' | 'unavailable'>;
}

/** For load balancers and people: alive at all, and able to work. Tells nothing but names of parts. */
@Public()
@Controller()
export class HealthController {
  constructor(
    private readonly messaging: Messaging,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  @Get('healthz')
  alive(): { status: 'ok' } {
    return { status: 'ok' };
  }

  @Get('readyz')
  async ready(@Res({ passthrough: true }) reply: FastifyReply): Promise<Readiness> {
    const [scheduler, audit, secrets] = await Promise.all(services.map((service) => this.ask(service)));
    const nats = this.messaging.isConnected() ? 'ok' : 'unavailable';
    const components = {
      nats,
      scheduler: scheduler ?? 'unavailable',
      audit: audit ?? 'unavailable',
      secrets: secrets ?? 'unavailable',
    } as const;
    const status = Object.values(components).every((state) => state === 'ok') ? 'ok' : 'degraded';
    if (status !== 'ok') void reply.status(503);
    return { status, components };
  }

  private async ask(service: string): Promise<'ok' | 'unavailable'> {
    try {
      await this.messaging.request(subjects.internal(service, 'health'), {}, { timeoutMs: answer_ms_max });
      return 'ok';
    } catch (error) {
      this.logger.debug({ err: error, service }, 'service not ready');
      return 'unavailable';
    }
  }
}

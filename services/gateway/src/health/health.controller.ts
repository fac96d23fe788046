import { Controller, Get, Inject, Res } from '@nestjs/common';
import { subjects } from '#libs/contracts';
import { Messaging } from '#libs/messaging';
import { LOGGER, type Logger } from '#libs/telemetry';
import type { FastifyReply } from 'fastify';
import { Public } from '../auth/admin-token.guard.js';

const services = ['scheduler', 'audit', 'secrets'] as const;
const answer_ms_max = 1000;

/** What services tell of themselves: more than is looked at here. */
interface Answer {
  readonly status?: string;
}

/** `ok`, that it works and needs a person (`degraded`), or that it does not answer. */
type Condition = 'ok' | 'degraded' | 'unavailable';

export interface Readiness {
  readonly status: 'ok' | 'degraded';
  readonly components: Record<'nats' | (typeof services)[number], Condition>;
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
    // What is degraded still does its work: a load balancer need not look for another gateway.
    if (Object.values<Condition>(components).includes('unavailable')) void reply.status(503);
    return { status, components };
  }

  private async ask(service: string): Promise<Condition> {
    try {
      const subject = subjects.internal(service, 'health');
      const answer = await this.messaging.request<Answer>(subject, {}, { timeoutMs: answer_ms_max });
      return answer.status === 'degraded' ? 'degraded' : 'ok';
    } catch (error) {
      this.logger.debug({ err: error, service }, 'service not ready');
      return 'unavailable';
    }
  }
}

import { Injectable } from '@nestjs/common';
import { api, type ApiName, type ApiRequest, type ApiResponse, ProblemError } from '#libs/contracts';
import { Messaging } from '#libs/messaging';
import { newTraceparent, runWithContext } from '#libs/telemetry';
import type { FastifyRequest } from 'fastify';
import { callerOf } from '../auth/caller.js';

/** What the gateway adds to the longest wait a request may ask for. */
const margin_ms = 5000;

/** Sends a request on to the service that answers it, in the caller's name. */
@Injectable()
export class ApiForwarder {
  constructor(private readonly messaging: Messaging) {}

  /** Validates at this door, too, so that nothing malformed goes any further. Throws `ProblemError`. */
  async forward<N extends ApiName>(
    name: N,
    fields: Record<string, unknown>,
    request: FastifyRequest,
  ): Promise<ApiResponse<N>> {
    const parsed = api[name].request.safeParse(fields);
    if (!parsed.success) throw ProblemError.fromZod(parsed.error, `the request of ${name}`);
    const wait_ms = 'timeoutMs' in parsed.data ? parsed.data.timeoutMs : 0;
    return this.call(name, fields as ApiRequest<N>, request, wait_ms + margin_ms);
  }

  /** As `forward`, for a request that is known to be valid. */
  async call<N extends ApiName>(
    name: N,
    fields: ApiRequest<N>,
    request: FastifyRequest,
    timeoutMs = margin_ms,
  ): Promise<ApiResponse<N>> {
    return this.inContext(request, () => this.messaging.call(name, fields, { timeoutMs }));
  }

  /** Runs `work` under the caller's name and a trace: the caller's own, or a new one. */
  inContext<T>(request: FastifyRequest, work: () => T): T {
    const given = request.headers['traceparent'];
    const traceparent =
      typeof given === 'string' && /^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$/.test(given)
        ? given
        : newTraceparent();
    return runWithContext({ actor: callerOf(request), traceparent }, work);
  }
}

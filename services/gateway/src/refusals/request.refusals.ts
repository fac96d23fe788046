import { Injectable } from '@nestjs/common';
import { api, apiNames, refusalType, type ApiName, type ProblemError } from '#libs/contracts';
import type { FastifyRequest } from 'fastify';
import { knownCallerOf } from '../auth/caller.js';
import { SessionEvents } from '../auth/session.events.js';

/** Not a decision about who asked, but a part of the platform that did not answer. */
const faults: readonly string[] = ['unavailable', 'timeout', 'internal'];
const detail_length_max = 1000;
const operation_length_max = 80;

/** `GET /api/v1/bots/:name` -> `bots.get` */
const operations = new Map<string, ApiName>(
  apiNames.map((name) => {
    const { method, path } = api[name].http;
    return [`${method} /api/v1${path.replace(/\{(\w+)\}/g, ':$1')}`, name];
  }),
);

/** Records what this door itself refuses: what does not fit, and routes that there are not. */
@Injectable()
export class RequestRefusals {
  constructor(private readonly events: SessionEvents) {}

  /**
   * Never throws. What a service has refused it has recorded itself, and who has no valid credentials was recorded by the
   * guard.
   */
  record(request: FastifyRequest, { code, detail, options }: ProblemError): void {
    if (options.isAnswer === true || code === 'unauthenticated' || faults.includes(code)) return;
    const route = `${request.method} ${request.routeOptions.url ?? ''}`;
    const operation = operations.get(route) ?? `${request.method} ${pathOf(request)}`;
    this.events.requestRefused({
      type: operations.has(route) ? refusalType(operation) : typeOfRoute(request),
      subjectId: 'gateway',
      data: {
        ...{ operation: operation.slice(0, operation_length_max), code },
        detail: detail.slice(0, detail_length_max),
      },
      actor: knownCallerOf(request) ?? 'user:unknown',
      traceparent: null,
    });
  }
}

const typeOfRoute = ({ method }: FastifyRequest) =>
  method === 'GET' || method === 'HEAD' || method === 'OPTIONS'
    ? 'tradefleet.request.read-refused'
    : 'tradefleet.request.refused';

/** Without the query: who cannot send a header may have put the token there. */
const pathOf = ({ url }: FastifyRequest): string => url.split('?', 1)[0] ?? '';

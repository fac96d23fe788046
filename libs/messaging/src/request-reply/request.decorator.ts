import { applyDecorators, UseFilters } from '@nestjs/common';
import { MessagePattern } from '@nestjs/microservices';
import type { z } from 'zod';
import { api, apiSubject, type ApiName, type ApiParsed, type ApiResponse } from '#libs/contracts';
import { ErrorCrossing } from '../error-crossing.filter.js';
import { REQUEST_REPLY, type RequestExtras } from '../transports.js';
import type { RequestContext, SignedReply } from './request-context.js';

type Handler<Body, Result> = (
  body: Body,
  context: RequestContext,
) => Promise<Result | SignedReply<Result>> | Result | SignedReply<Result>;

type MethodOf<H> = <T extends H>(
  target: object,
  key: string | symbol,
  descriptor: TypedPropertyDescriptor<T>,
) => void;

export interface HandlerOptions {
  /** The handler mostly waits (a long poll): it counts against a bound of its own. */
  readonly waits?: boolean;
}

/**
 * Handles an operation of the public API. The body is checked against its schema, unknown fields refused, before Nest's
 * guards, interceptors and pipes run. Arguments: `(@Payload() body, @Ctx() context)`.
 */
export function Api<N extends ApiName>(
  name: N,
  { waits = false }: HandlerOptions = {},
): MethodOf<Handler<ApiParsed<N>, ApiResponse<N>>> {
  return handler(apiSubject(name), {
    kind: 'request',
    name,
    api: name,
    schema: api[name].request,
    pool: waits ? 'waiting' : 'api',
  });
}

/** As `Api`, for requests between agents and services. A `*` in the subject is given as `context.hostToken`. */
export function Request<S extends z.ZodType>(
  subject: string,
  schema: S,
  { waits = false }: HandlerOptions = {},
): MethodOf<Handler<z.output<S>, unknown>> {
  return handler(subject, {
    kind: 'request',
    name: subject,
    api: null,
    schema,
    pool: waits ? 'waiting' : 'internal',
  });
}

function handler<H>(subject: string, extras: RequestExtras): MethodOf<H> {
  return (target, key, descriptor) => {
    applyDecorators(MessagePattern(subject, REQUEST_REPLY, extras), UseFilters(new ErrorCrossing()))(
      target,
      key,
      descriptor,
    );
  };
}

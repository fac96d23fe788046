import { type ArgumentsHost, Catch, type ExceptionFilter, HttpException, Inject } from '@nestjs/common';
import { type ErrorCode, ProblemError } from '#libs/contracts';
import { LOGGER, type Logger, newTraceparent, requestContext, traceIdOf } from '#libs/telemetry';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { RequestRefusals } from './refusals/request.refusals.js';

/** Every error leaves as problem details (RFC 9457); a defect is logged with the trace it shows. */
@Catch()
export class ProblemFilter implements ExceptionFilter {
  constructor(
    @Inject(LOGGER) private readonly logger: Logger,
    private readonly refusals: RequestRefusals,
  ) {}

  catch(error: unknown, host: ArgumentsHost): void {
    const http = host.switchToHttp();
    const reply = http.getResponse<FastifyReply>();
    const request = http.getRequest<FastifyRequest>();
    const traceId = traceIdOf(requestContext.getStore()?.traceparent ?? newTraceparent());
    const problem = toProblemError(error);
    this.refusals.record(request, problem);
    if (problem.code === 'internal')
      this.logger.error(
        { err: error, method: request.method, path: request.routeOptions.url, traceId },
        'request failed',
      );
    if (problem.code === 'unauthenticated') void reply.header('www-authenticate', 'Bearer');
    if (problem.retry) void reply.header('retry-after', '1');
    void reply
      .status(problem.status)
      .header('content-type', 'application/problem+json')
      .send(JSON.stringify(problem.toProblem(traceId)));
  }
}

/** What Nest and Fastify throw themselves, in our codes. */
function toProblemError(error: unknown): ProblemError {
  if (error instanceof ProblemError) return error;
  const status = statusOf(error);
  const code = codeOf(error);
  if (code === 'FST_ERR_CTP_INVALID_MEDIA_TYPE')
    return problem('invalid_request', 'Send the body as application/json.');
  if (status === 413) return problem('payload_too_large', 'Send at most 256 KiB at a time.');
  if (status === 404)
    return problem('unknown_subject', 'There is no such route; the API is described at /api/docs.');
  if (code === 'FST_ERR_CTP_EMPTY_JSON_BODY')
    return problem('malformed_json', 'Send a JSON object, {} at the least.');
  if (status === 400) return problem('malformed_json', 'Correct the JSON of the body and send it again.');
  return new ProblemError('internal', 'Report this with the trace id; the platform has logged it.', {
    cause: error,
  });
}

const problem = (code: ErrorCode, detail: string): ProblemError => new ProblemError(code, detail);

function statusOf(error: unknown): number | undefined {
  if (error instanceof HttpException) return error.getStatus();
  const status = (error as { statusCode?: unknown } | null)?.statusCode;
  return typeof status === 'number' ? status : undefined;
}

function codeOf(error: unknown): string | undefined {
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code === 'string' ? code : undefined;
}

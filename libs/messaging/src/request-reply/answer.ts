import { ProblemError, type Reply } from '#libs/contracts';
import { encodeJson } from '../json-body.js';
import type { Headers } from '../headers.js';

/** What goes back to whoever asked. */
export interface Answer {
  readonly body: Uint8Array;
  readonly headers: Headers;
  /** `ok` or the error code, for metrics. */
  readonly code: string;
}

const contentType = { 'content-type': 'application/json' };

export function resultAnswer(result: unknown, headers: Headers): Answer {
  const reply: Reply<unknown> = { ok: true, result: result ?? null };
  return { body: encodeJson(reply), headers: { ...contentType, ...headers }, code: 'ok' };
}

/**
 * The problem, and the headers by which stock tools know a refusal (NATS ADR-32): the HTTP status and, instead of a
 * free text that might not fit in a header, our code.
 */
export function problemAnswer(problem: ProblemError, traceId: string | undefined, headers: Headers): Answer {
  const reply: Reply<never> = { ok: false, problem: problem.toProblem(traceId) };
  return {
    body: encodeJson(reply),
    headers: {
      ...contentType,
      ...headers,
      'Nats-Service-Error-Code': String(problem.status),
      'Nats-Service-Error': problem.code,
    },
    code: problem.code,
  };
}

/** What Nest's guards throw when they merely say no. */
const forbiddenMessage = 'Forbidden resource';

/** The problem an error is; null for a defect, whose words are for the log only. */
export function problemOf(error: unknown): ProblemError | null {
  if (error instanceof ProblemError) return error;
  const refused =
    typeof error === 'object' && error !== null && 'message' in error && error.message === forbiddenMessage;
  return refused ? new ProblemError('forbidden', 'Ask with an identity that may do this.') : null;
}

import { z } from 'zod';
import { errorCodeNames, errorCodes, type ErrorCode } from './error-codes.js';

/** RFC 9457 problem details. `detail` says what to do; `errors` points at the fields that do not fit. */
export const Problem = z
  .strictObject({
    type: z.string(),
    title: z.string(),
    status: z.int(),
    code: z.enum(errorCodeNames),
    detail: z.string(),
    retry: z.boolean(),
    errors: z.array(z.strictObject({ path: z.string(), message: z.string() })).optional(),
    traceId: z.string().optional(),
  })
  .meta({ id: 'Problem' });
export type Problem = z.infer<typeof Problem>;

/**
 * An error the caller can act on, as opposed to a defect. Crosses every door as a `Problem`.
 * `detail` must hold no secret: it is shown, logged and audited.
 */
export class ProblemError extends Error {
  override readonly name = 'ProblemError';

  constructor(
    readonly code: ErrorCode,
    readonly detail: string,
    readonly options: {
      errors?: { path: string; message: string }[];
      cause?: unknown;
      /** Another service has answered it, and has recorded that. */
      isAnswer?: boolean;
    } = {},
  ) {
    super(`${code}: ${detail}`, options.cause === undefined ? undefined : { cause: options.cause });
  }

  get status(): number {
    return errorCodes[this.code].status;
  }

  /** Whether the same request may succeed later. */
  get retry(): boolean {
    return errorCodes[this.code].retry;
  }

  toProblem(traceId?: string): Problem {
    const { status, title, retry } = errorCodes[this.code];
    return {
      type: `urn:tradefleet:error:${this.code}`,
      title,
      status,
      code: this.code,
      detail: this.detail,
      retry,
      ...(this.options.errors === undefined ? {} : { errors: this.options.errors }),
      ...(traceId === undefined ? {} : { traceId }),
    };
  }

  static fromProblem(problem: Problem): ProblemError {
    return new ProblemError(problem.code, problem.detail, {
      isAnswer: true,
      ...(problem.errors === undefined ? {} : { errors: problem.errors }),
    });
  }

  /** Turns the issues of a failed zod parse into `invalid_request`. */
  static fromZod(error: z.ZodError, what: string): ProblemError {
    const errors = error.issues
      .slice(0, 20)
      .map((issue) => ({ path: issue.path.map(String).join('.') || '(body)', message: issue.message }));
    const first = errors.map((e) => `${e.path}: ${e.message}`).slice(0, 3);
    return new ProblemError('invalid_request', `Correct ${what} and send it again: ${first.join('; ')}.`, {
      errors,
    });
  }
}

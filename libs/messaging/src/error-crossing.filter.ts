import { Catch, HttpException, type ExceptionFilter } from '@nestjs/common';
import { throwError, type Observable } from 'rxjs';
import { ProblemError, type ErrorCode } from '#libs/contracts';
import { Poison } from './jetstream/delivery.js';

/** Codes of the exceptions that Nest's own pipes and guards throw. */
const codeOfStatus: Readonly<Record<number, ErrorCode>> = {
  400: 'invalid_request',
  401: 'unauthenticated',
  403: 'forbidden',
  413: 'payload_too_large',
  429: 'rate_limited',
};

/**
 * Lets the errors that mean something to the other side reach the server as they are; Nest's default would log each
 * and turn it into "Internal server error". All others still go through the application's own filters.
 */
@Catch(ProblemError, Poison, HttpException)
export class ErrorCrossing implements ExceptionFilter<ProblemError | Poison | HttpException> {
  catch(error: ProblemError | Poison | HttpException): Observable<never> {
    return throwError(() => (error instanceof HttpException ? toProblem(error) : error));
  }
}

function toProblem(error: HttpException): ProblemError | HttpException {
  const code = codeOfStatus[error.getStatus()];
  return code === undefined ? error : new ProblemError(code, error.message, { cause: error });
}

import { ProblemError } from '#libs/contracts';
import { Catch, type ExceptionFilter } from '@nestjs/common';
import { throwError, type Observable } from 'rxjs';

/** SQLSTATE classes and codes (PostgreSQL, appendix A) that say the server cannot do it now, not that it is wrong. */
const states = [
  '08', // connection exceptions
  '40001', // serialization failure, again and again
  '40P01', // deadlock, again and again
  '53', // insufficient resources
  '55P03', // a lock was not to be had in time
  '57', // cancelled by a timeout, shut down, starting up
  '25P03', // the transaction stood still for too long
];
/** System errors of a socket. */
const socketErrors = ['ECONNREFUSED', 'ECONNRESET', 'EPIPE', 'ETIMEDOUT', 'EHOSTUNREACH', 'ENOTFOUND'];
/** What the driver throws by words alone. */
const words = [
  /^Connection terminated/,
  /^timeout exceeded when trying to connect/,
  /^Query read timeout/,
  /connection error and is not queryable/,
];

/** Whether the database could not be reached or could not answer in time; the same statement may succeed later. */
export function isDatabaseUnavailable(error: unknown): boolean {
  if (typeof error !== 'object' || error === null) return false;
  const { code, message } = error as { code?: unknown; message?: unknown };
  if (typeof code === 'string') {
    const isSqlState = /^[0-9A-Z]{5}$/.test(code);
    if (isSqlState ? states.some((state) => code.startsWith(state)) : socketErrors.includes(code))
      return true;
  }
  return typeof message === 'string' && words.some((pattern) => pattern.test(message));
}

/** Tells whoever asked that the database is away and not that we have a defect; all other errors go on as they are. */
@Catch()
export class DatabaseUnavailableFilter implements ExceptionFilter {
  catch(error: unknown): Observable<never> {
    return throwError(() =>
      isDatabaseUnavailable(error)
        ? new ProblemError(
            'unavailable',
            'The database did not answer. Send the same request again a little later, with the same idempotency key.',
            { cause: error },
          )
        : error,
    );
  }
}

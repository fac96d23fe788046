import { DriverError } from '../driver.js';
import { errorCode } from '../error-code.js';

/** The status of the engine's answer, or null when there was none. */
export function statusOf(error: unknown): number | null {
  if (typeof error !== 'object' || error === null || !('statusCode' in error)) return null;
  return typeof error.statusCode === 'number' ? error.statusCode : null;
}

/** The engine's own sentence without what the client library puts before it, cut short: it may quote much. */
export function messageOf(error: unknown): string {
  const named = typeof error === 'object' && error !== null && 'message' in error;
  return String(named ? error.message : error)
    .replace(/^\(HTTP code \d+\) \S+ - /, '')
    .trim()
    .slice(0, 300);
}

/** Turns whatever a call to the engine ended with into a `DriverError`. `what` says what was asked, for people. */
export function driverError(what: string, error: unknown): DriverError {
  if (error instanceof DriverError) return error;
  const status = statusOf(error);
  const message = messageOf(error);
  if (status === null) {
    const code = errorCode(error);
    const remedy = code === 'EACCES' ? ': the agent may not use the socket' : '';
    const text = `the Docker Engine cannot be reached to ${what}${remedy} (${code ?? message})`;
    return new DriverError('engine-unavailable', text, true, { cause: error });
  }
  const text = `the Docker Engine did not ${what}: ${message}`;
  if (/no space left on device/i.test(message)) {
    return new DriverError('no-capacity', text, true, { cause: error });
  }
  if (status === 404 && /no such image/i.test(message)) {
    return new DriverError('image-missing', text, false, { cause: error });
  }
  if (status === 404 && /no such container/i.test(message)) {
    return new DriverError('task-missing', text, false, { cause: error });
  }
  // 404 for a network or mount that has gone and 5xx may be better next time; 400 and 403 will not.
  return new DriverError('engine-refused', text, status >= 500 || status === 404 || status === 409, {
    cause: error,
  });
}

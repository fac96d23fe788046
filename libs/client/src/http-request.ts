import { api, type ApiName, type HttpRoute } from '#libs/contracts';

/** Header that carries the idempotency key over HTTP; a field of the body over NATS. */
export const idempotencyHeader = 'idempotency-key';
/** Header that carries the expected generation over HTTP, as `"<generation>"`. */
export const ifMatchHeader = 'if-match';

export interface HttpRequest {
  readonly method: HttpRoute['method'];
  /** Below the gateway's address, with the query. */
  readonly path: string;
  readonly headers: Record<string, string>;
  readonly body: string | null;
}

/**
 * Puts the fields of an API request where its HTTP route wants them: named ones into the path, the idempotency key
 * and the expected generation into headers, the rest into the query (GET, DELETE) or the body.
 */
export function toHttpRequest(name: ApiName, request: Record<string, unknown>): HttpRequest {
  const { method, path: template } = api[name].http;
  const rest = { ...request };
  const take = (field: string): unknown => {
    const value = rest[field];
    // eslint-disable-next-line @typescript-eslint/no-dynamic-delete -- a fresh copy, keyed by the route's own fields
    delete rest[field];
    return value;
  };
  const path = template.replace(/\{(\w+)\}/g, (_, field: string) => encodeURIComponent(String(take(field))));
  const headers: Record<string, string> = { accept: 'application/json, application/problem+json' };
  const key = take('idempotencyKey');
  if (typeof key === 'string') headers[idempotencyHeader] = key;
  const generation = take('expectedGeneration');
  if (typeof generation === 'number') headers[ifMatchHeader] = `"${generation}"`;
  if (method === 'GET' || method === 'DELETE') {
    const query = new URLSearchParams(
      Object.entries(rest).flatMap(([field, value]) =>
        value === undefined || value === null ? [] : [[field, scalarText(value)] as [string, string]],
      ),
    ).toString();
    return { method, path: `/api/v1${path}${query === '' ? '' : `?${query}`}`, headers, body: null };
  }
  headers['content-type'] = 'application/json';
  return { method, path: `/api/v1${path}`, headers, body: JSON.stringify(rest) };
}

function scalarText(value: unknown): string {
  if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean')
    return String(value);
  throw new TypeError('A query carries text, numbers and booleans only.');
}

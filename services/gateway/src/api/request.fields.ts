import { idempotencyHeader, ifMatchHeader } from '#libs/client';
import { api, type ApiName, ProblemError } from '#libs/contracts';
import type { FastifyRequest } from 'fastify';
import type { z } from 'zod';

/**
 * Puts an HTTP request together as the request of an API operation: fields from path, query or body, idempotency key
 * and expected generation from their headers. The schema decides; a field may come from one place only.
 */
export function readApiRequest(name: ApiName, request: FastifyRequest): Record<string, unknown> {
  const { method } = api[name].http;
  const path = objectOf(request.params);
  const rest =
    method === 'GET' || method === 'DELETE'
      ? fromQuery(name, objectOf(request.query))
      : withoutQuery(request, bodyOf(request.body));
  const fields = { ...rest, ...fromHeaders(request) };
  for (const field of Object.keys(path))
    if (Object.hasOwn(fields, field)) throw invalid(field, 'is given by the path; leave it out elsewhere');
  return { ...fields, ...path };
}

function bodyOf(body: unknown): Record<string, unknown> {
  if (body === undefined || body === null) return {};
  if (typeof body !== 'object' || Array.isArray(body)) throw invalid('(body)', 'must be a JSON object');
  const fields = body as Record<string, unknown>;
  for (const field of ['idempotencyKey', 'expectedGeneration'])
    if (Object.hasOwn(fields, field))
      throw invalid(
        field,
        `goes into the header ${field === 'idempotencyKey' ? idempotencyHeader : ifMatchHeader}`,
      );
  return fields;
}

function withoutQuery(request: FastifyRequest, body: Record<string, unknown>): Record<string, unknown> {
  const [first] = Object.keys(objectOf(request.query));
  if (first !== undefined) throw invalid(first, 'goes into the body, not into the query');
  return body;
}

/** Text of a query becomes what the schema wants: numbers where it has numbers, booleans where booleans. */
function fromQuery(name: ApiName, query: Record<string, unknown>): Record<string, unknown> {
  const shape = (api[name].request as z.ZodObject).shape as Record<string, z.ZodType | undefined>;
  return Object.fromEntries(
    Object.entries(query).map(([field, value]) => {
      if (typeof value !== 'string') throw invalid(field, 'must be given once');
      return [field, fromText(value, kindOf(shape[field]))];
    }),
  );
}

function fromText(text: string, kind: string | undefined): unknown {
  if (kind === 'number' && /^-?\d+(\.\d+)?$/.test(text)) return Number(text);
  if (kind === 'boolean' && (text === 'true' || text === 'false')) return text === 'true';
  return text;
}

/** The type below optional, default and the like. */
function kindOf(schema: z.ZodType | undefined): string | undefined {
  let inner: unknown = schema;
  for (let depth = 0; depth < 5; depth += 1) {
    const definition = (inner as { def?: { type?: string; innerType?: unknown } } | undefined)?.def;
    if (definition?.innerType === undefined) return definition?.type;
    inner = definition.innerType;
  }
  return undefined;
}

function fromHeaders(request: FastifyRequest): Record<string, unknown> {
  const fields: Record<string, unknown> = {};
  const key = request.headers[idempotencyHeader];
  if (key !== undefined) fields['idempotencyKey'] = key;
  const match = request.headers[ifMatchHeader];
  if (match !== undefined) {
    const generation = /^"(\d{1,10})"$/.exec(match)?.[1];
    if (generation === undefined)
      throw invalid(ifMatchHeader, 'must be the generation that was read, in quotes: If-Match: "3"');
    fields['expectedGeneration'] = Number(generation);
  }
  return fields;
}

const objectOf = (value: unknown): Record<string, unknown> =>
  typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};

const invalid = (field: string, message: string): ProblemError =>
  new ProblemError('invalid_request', `Correct the request and send it again: ${field} ${message}.`, {
    errors: [{ path: field, message }],
  });

import {
  api,
  type ApiName,
  apiNames,
  type ApiOperation,
  commonErrors,
  CredentialPassword,
  type ErrorCode,
  errorCodes,
  LogsReply,
} from '#libs/contracts';
import { z } from 'zod';

type Json = Record<string, unknown>;

/** Codes of the HTTP door itself. */
const doorErrors: readonly ErrorCode[] = ['unauthenticated'];

/**
 * The API as OpenAPI 3.0, made from the contracts alone: the same operations, schemas and error codes as over NATS.
 * Fields named in a path are parameters; idempotency key and expected generation are headers.
 */
export function openApiDocument(): Json {
  const paths: Record<string, Json> = {};
  for (const name of apiNames) {
    const { method, path } = api[name].http;
    paths[`/api/v1${path}`] = { ...paths[`/api/v1${path}`], [method.toLowerCase()]: operation(name) };
  }
  Object.assign(paths, extraPaths());
  return {
    openapi: '3.0.3',
    info: {
      title: 'Tradefleet',
      version: '1',
      description:
        'Runs trading bots, one real-money account each, over many hosts. Every operation is the NATS request ' +
        '`fleet.v1.api.<entity>.<verb>`, too. Changes that take time answer 202 with an operation to wait for.',
      license: { name: 'Apache-2.0', url: 'https://www.apache.org/licenses/LICENSE-2.0' },
    },
    servers: [{ url: 'http://127.0.0.1:7400', description: 'The gateway listens on loopback only' }],
    security: [{ adminToken: [] }],
    tags: [...new Set(apiNames.map((name) => api[name].entity))].map((name) => ({ name })),
    paths,
    components: {
      securitySchemes: { adminToken: { type: 'http', scheme: 'bearer' } },
      schemas: componentSchemas(),
    },
  };
}

function operation(name: ApiName): Json {
  const { entity, verb, summary, response, errors, http } = api[name] as ApiOperation;
  const { parameters, body } = requestParts(name);
  return {
    operationId: name,
    tags: [entity],
    summary,
    description: `Over NATS: \`fleet.v1.api.${entity}.${verb}\`.`,
    ...(parameters.length === 0 ? {} : { parameters }),
    ...(body === null
      ? {}
      : { requestBody: { required: true, content: { 'application/json': { schema: body } } } }),
    responses: {
      [http.status]: {
        description: 'Done',
        content: { 'application/json': { schema: refOrSchema(response, 'output') } },
      },
      ...problemResponses([...commonErrors, ...doorErrors, ...errors]),
    },
  };
}

/** Where each field of a request goes over HTTP; mirrors `toHttpRequest` of the client. */
function requestParts(name: ApiName): { parameters: Json[]; body: Json | null } {
  if (name === 'credentials.set')
    return {
      parameters: [pathParameter('account', nameSchema)],
      body: refOrSchema(CredentialPassword, 'input'),
    };
  const { request, http } = api[name] as ApiOperation;
  const schema = toSchema(request, 'input') as { properties: Record<string, Json>; required?: string[] };
  const inPath = [...http.path.matchAll(/\{(\w+)\}/g)].map((match) => match[1] ?? '');
  const parameters = inPath.map((field) => pathParameter(field, schema.properties[field] ?? {}));
  const rest = Object.entries(schema.properties).filter(([field]) => !inPath.includes(field));
  const isHeader = (field: string) => field === 'idempotencyKey' || field === 'expectedGeneration';
  for (const [field, fieldSchema] of rest.filter(([field]) => isHeader(field)))
    parameters.push(field === 'idempotencyKey' ? idempotencyParameter(fieldSchema) : generationParameter());
  const fields = rest.filter(([field]) => !isHeader(field));
  const required = (schema.required ?? []).filter((field) => fields.some(([name]) => name === field));
  if (http.method === 'GET' || http.method === 'DELETE') {
    for (const [field, fieldSchema] of fields)
      parameters.push({ name: field, in: 'query', required: required.includes(field), schema: fieldSchema });
    return { parameters, body: null };
  }
  const body = {
    type: 'object',
    properties: Object.fromEntries(fields),
    ...(required.length === 0 ? {} : { required }),
    additionalProperties: false,
  };
  return { parameters, body };
}

const nameSchema = { $ref: '#/components/schemas/Name' };

const pathParameter = (name: string, schema: Json): Json => ({ name, in: 'path', required: true, schema });

const idempotencyParameter = (schema: Json): Json => ({
  name: 'Idempotency-Key',
  in: 'header',
  required: false,
  description: 'The same key with the same request is carried out once and answered the same for a day.',
  schema,
});

const generationParameter = (): Json => ({
  name: 'If-Match',
  in: 'header',
  required: false,
  description: 'The generation that was read, in quotes; refused with stale_generation when it has changed.',
  schema: { type: 'string', pattern: '^"\\d{1,10}"$', example: '"3"' },
});

/** What HTTP has beyond the API operations. */
function extraPaths(): Record<string, Json> {
  const json = (schema: Json, description: string) => ({
    description,
    content: { 'application/json': { schema } },
  });
  return {
    '/api/v1/events/stream': {
      get: {
        operationId: 'events.stream',
        tags: ['events'],
        summary: 'Events as they happen, as server-sent events',
        parameters: [
          {
            name: 'entity',
            in: 'query',
            required: false,
            schema: { type: 'string', pattern: '^[a-z]{1,40}$' },
          },
          {
            name: 'Last-Event-ID',
            in: 'header',
            required: false,
            schema: { type: 'string', pattern: '^\\d{1,15}$' },
          },
        ],
        responses: {
          200: {
            description: 'A stream of events',
            content: { 'text/event-stream': { schema: { type: 'string' } } },
          },
          ...problemResponses(['invalid_request', 'unauthenticated', 'unavailable']),
        },
      },
    },
    '/api/v1/bots/{name}/logs': {
      get: {
        operationId: 'bots.logs',
        tags: ['bots'],
        summary: "The last lines of a bot's output, oldest first",
        parameters: [
          pathParameter('name', nameSchema),
          {
            name: 'lines',
            in: 'query',
            required: false,
            schema: { type: 'integer', minimum: 1, maximum: 1000, default: 200 },
          },
        ],
        responses: {
          200: json(refOrSchema(LogsReply, 'output'), 'The lines'),
          ...problemResponses([
            'bot_not_found',
            'invalid_transition',
            'invalid_request',
            'unauthenticated',
            'unavailable',
            'timeout',
          ]),
        },
      },
    },
    '/healthz': {
      get: {
        operationId: 'health.alive',
        security: [],
        summary: 'Whether the gateway runs',
        responses: { 200: json({ type: 'object' }, 'It does') },
      },
    },
    '/readyz': {
      get: {
        operationId: 'health.ready',
        security: [],
        summary: 'Whether everything the gateway needs answers',
        responses: {
          200: json({ type: 'object' }, 'It does'),
          503: json({ type: 'object' }, 'A part does not'),
        },
      },
    },
  };
}

/** One response a status, naming the codes it may carry. */
function problemResponses(codes: readonly ErrorCode[]): Json {
  const byStatus = new Map<number, ErrorCode[]>();
  for (const code of new Set(codes)) {
    const { status } = errorCodes[code];
    byStatus.set(status, [...(byStatus.get(status) ?? []), code]);
  }
  return Object.fromEntries(
    [...byStatus].map(([status, some]) => [
      status,
      {
        description: some.map((code) => `\`${code}\`: ${errorCodes[code].title}`).join('; '),
        content: { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } },
      },
    ]),
  );
}

/** Every named schema of the contracts, as answers show it; requests are written out where they are used. */
function componentSchemas(): Json {
  return Object.fromEntries(Object.entries(namedSchemas('output')).sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** A reference for what answers show; a request is written out, so that its defaults are optional in it. */
function refOrSchema(schema: z.ZodType, io: 'input' | 'output'): Json {
  const id = z.globalRegistry.get(schema)?.['id'];
  if (typeof id !== 'string')
    throw new Error('Name the schema with .meta({ id }) so that the API can refer to it.');
  return io === 'output' ? { $ref: `#/components/schemas/${id}` } : toSchema(schema, io);
}

function toSchema(schema: z.ZodType, io: 'input' | 'output'): Json {
  const id = z.globalRegistry.get(schema)?.['id'];
  const found = typeof id === 'string' ? namedSchemas(io)[id] : undefined;
  if (found === undefined)
    throw new Error('Name the schema with .meta({ id }) so that the API can describe it.');
  return found;
}

const cached = new Map<'input' | 'output', Record<string, Json>>();

function namedSchemas(io: 'input' | 'output'): Record<string, Json> {
  const known = cached.get(io);
  if (known !== undefined) return known;
  const { schemas } = z.toJSONSchema(z.globalRegistry, {
    target: 'openapi-3.0',
    io,
    unrepresentable: 'any',
    uri: (id) => `#/components/schemas/${id}`,
  });
  const cleaned = Object.fromEntries(Object.entries(schemas).map(([id, schema]) => [id, clean(schema)]));
  cached.set(io, cleaned);
  return cleaned;
}

/** OpenAPI 3.0 knows neither `$schema` nor `id` nor `$defs`; what refers to a definition refers to the component. */
function clean(value: unknown): Json {
  return JSON.parse(
    JSON.stringify(value, (key, inner: unknown) => {
      if (
        key === '$schema' ||
        (key === 'id' && typeof inner === 'string') ||
        key === '$defs' ||
        key === '$id'
      )
        return undefined;
      if (key === '$ref' && typeof inner === 'string')
        return inner.replace('#/$defs/', '#/components/schemas/');
      return inner;
    }),
  ) as Json;
}

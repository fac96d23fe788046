import {
  api,
  type ApiName,
  apiNames,
  type ApiOperation,
  commonErrors,
  CredentialPassword,
  type ErrorCode,
  errorCodes,
  EventExport,
  FleetEvent,
  type HttpRoute,
  LogsReply,
  Name,
  Problem,
} from '#libs/contracts';
import { z } from 'zod';
import { ComponentSchemas, type Json } from './component.schemas.js';
import { requestExamples } from './request.examples.js';

/** Codes of the HTTP door itself. */
const doorErrors: readonly ErrorCode[] = ['unauthenticated'];

/**
 * The API as OpenAPI 3.0, made from the contracts alone: the same operations, schemas and error codes as over NATS.
 * Fields named in a path are parameters; idempotency key and expected generation are headers.
 */
export function openApiDocument(): Json {
  const schemas = new ComponentSchemas('openapi-3.0');
  const paths: Record<string, Json> = {};
  for (const name of apiNames) {
    const { method, path } = api[name].http;
    paths[`/api/v1${path}`] = {
      ...paths[`/api/v1${path}`],
      [method.toLowerCase()]: operation(name, schemas),
    };
  }
  Object.assign(paths, extraPaths(schemas));
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
    tags: [...new Set(apiNames.map((name) => api[name].entity)), 'health'].map((name) => ({ name })),
    paths,
    components: {
      securitySchemes: { adminToken: { type: 'http', scheme: 'bearer' } },
      schemas: schemas.components(),
    },
  };
}

function operation(name: ApiName, schemas: ComponentSchemas): Json {
  const { entity, verb, summary, response, errors, http } = api[name] as ApiOperation;
  const { parameters, body, example } = requestParts(name, schemas);
  return {
    operationId: name,
    tags: [entity],
    summary,
    description: `Over NATS: \`fleet.v1.api.${entity}.${verb}\`.`,
    ...(parameters.length === 0 ? {} : { parameters }),
    ...(body === null
      ? {}
      : { requestBody: { required: true, content: { 'application/json': { schema: body, ...example } } } }),
    responses: {
      [http.status]: {
        description: successes[http.status],
        content: { 'application/json': { schema: schemas.of(response, 'output') } },
      },
      ...problemResponses([...commonErrors, ...doorErrors, ...errors], schemas),
    },
  };
}

const successes: Record<HttpRoute['status'], string> = {
  200: 'Done',
  201: 'Made',
  202: 'Accepted; `operations.wait` tells how it ends',
};

interface RequestParts {
  readonly parameters: Json[];
  readonly body: Json | null;
  readonly example: { example?: Json };
}

/** Where each field of a request goes over HTTP; mirrors `toHttpRequest` of the client. */
function requestParts(name: ApiName, schemas: ComponentSchemas): RequestParts {
  if (name === 'credentials.set')
    return {
      parameters: [pathParameter('account', schemas.of(Name, 'input'))],
      body: schemas.of(CredentialPassword, 'input'),
      example: { example: { password: 'as the broker gave it' } },
    };
  const { request, http } = api[name] as ApiOperation;
  const schema = schemas.inline(request, 'input') as {
    properties: Record<string, Json>;
    required?: string[];
  };
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
    return { parameters, body: null, example: {} };
  }
  const body = {
    type: 'object',
    properties: Object.fromEntries(fields),
    ...(required.length === 0 ? {} : { required }),
    additionalProperties: false,
  };
  return { parameters, body, example: exampleOf(name, new Set(fields.map(([field]) => field))) };
}

/** The example of the operation's request, as far as it goes into the body. */
function exampleOf(name: ApiName, inBody: ReadonlySet<string>): { example?: Json } {
  const whole = requestExamples[name];
  if (whole === undefined) return {};
  return { example: Object.fromEntries(Object.entries(whole).filter(([field]) => inBody.has(field))) };
}

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

const json = (schema: Json, description: string) => ({
  description,
  content: { 'application/json': { schema } },
});

/** What HTTP has beyond the API operations. */
function extraPaths(schemas: ComponentSchemas): Record<string, Json> {
  return {
    '/api/v1/events/stream': { get: eventStream(schemas) },
    '/api/v1/events/export': { get: eventExport(schemas) },
    '/api/v1/bots/{name}/logs': { get: botLogs(schemas) },
    '/healthz': {
      get: {
        operationId: 'health.alive',
        tags: ['health'],
        security: [],
        summary: 'Whether the gateway runs',
        responses: { 200: json(schemas.inline(Alive, 'output'), 'It does') },
      },
    },
    '/readyz': {
      get: {
        operationId: 'health.ready',
        tags: ['health'],
        security: [],
        summary: 'Whether everything the gateway needs answers',
        responses: {
          200: json(schemas.inline(Readiness, 'output'), 'It does'),
          503: json(schemas.inline(Readiness, 'output'), 'A part does not'),
        },
      },
    },
  };
}

const Alive = z.strictObject({ status: z.literal('ok') });
const Component = z.enum(['ok', 'degraded', 'unavailable']);
const Readiness = z.strictObject({
  status: z.enum(['ok', 'degraded']),
  components: z.strictObject({ nats: Component, scheduler: Component, audit: Component, secrets: Component }),
});

function eventStream(schemas: ComponentSchemas): Json {
  return {
    operationId: 'events.stream',
    tags: ['events'],
    summary: 'Events as they happen, as server-sent events',
    description:
      'Each message has the event name `event`, an id to go on from, and one event (`x-event-data`) as its data.',
    parameters: [
      {
        name: 'entity',
        in: 'query',
        required: false,
        description: 'Events of one kind of entity only.',
        schema: { type: 'string', pattern: '^[a-z]{1,40}$', example: 'allocation' },
      },
      {
        name: 'Last-Event-ID',
        in: 'header',
        required: false,
        description: 'Id of the last message that was read: what came after it is sent first.',
        schema: { type: 'string', pattern: '^\\d{1,15}$' },
      },
    ],
    responses: {
      200: {
        description: 'A stream of events',
        content: { 'text/event-stream': { schema: { type: 'string' } } },
        'x-event-data': schemas.of(FleetEvent, 'output'),
      },
      ...problemResponses(['invalid_request', 'unauthenticated', 'unavailable', 'internal'], schemas),
    },
  };
}

function eventExport(schemas: ComponentSchemas): Json {
  const { properties } = schemas.inline(EventExport, 'input') as { properties: Record<string, Json> };
  return {
    operationId: 'events.export',
    tags: ['events'],
    summary: 'All events that fit, oldest first, as a file',
    description:
      'As the log is when it is asked, as fast as it is read. NDJSON has one event (`x-event-data`) a line. CSV has a head ' +
      'and one event a row; a value that a spreadsheet would take for a formula begins with an apostrophe. An export that ' +
      'fails ends with an error, `{"error":{…}}` or a row that begins with `error`, and without the last chunk, so that ' +
      'clients report an answer cut short.',
    parameters: Object.entries(properties).map(([name, schema]) => ({
      ...{ name, in: 'query', required: false, schema },
    })),
    responses: {
      200: {
        description: 'The events',
        content: {
          'application/x-ndjson': { schema: { type: 'string' } },
          'text/csv': { schema: { type: 'string' } },
        },
        'x-event-data': schemas.of(FleetEvent, 'output'),
      },
      ...problemResponses(
        ['invalid_request', 'unauthenticated', 'query_too_costly', 'unavailable', 'timeout', 'internal'],
        schemas,
      ),
    },
  };
}

function botLogs(schemas: ComponentSchemas): Json {
  return {
    operationId: 'bots.logs',
    tags: ['bots'],
    summary: "The last lines of a bot's output, oldest first",
    parameters: [
      pathParameter('name', schemas.of(Name, 'input')),
      {
        name: 'lines',
        in: 'query',
        required: false,
        schema: { type: 'integer', minimum: 1, maximum: 1000, default: 200 },
      },
    ],
    responses: {
      200: json(schemas.of(LogsReply, 'output'), 'The lines'),
      ...problemResponses(
        [
          'bot_not_found',
          'invalid_transition',
          'invalid_request',
          'unauthenticated',
          'unavailable',
          'timeout',
          'internal',
        ],
        schemas,
      ),
    },
  };
}

/** One response a status, naming the codes it may carry. */
function problemResponses(codes: readonly ErrorCode[], schemas: ComponentSchemas): Json {
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
        ...problemHeaders(some),
        content: { 'application/problem+json': { schema: schemas.of(Problem, 'output') } },
      },
    ]),
  );
}

function problemHeaders(codes: readonly ErrorCode[]): Json {
  const headers = {
    ...(codes.some((code) => errorCodes[code].retry)
      ? { 'Retry-After': { description: 'Seconds to wait first.', schema: { type: 'integer' } } }
      : {}),
    ...(codes.includes('unauthenticated') ? { 'WWW-Authenticate': { schema: { type: 'string' } } } : {}),
  };
  return Object.keys(headers).length === 0 ? {} : { headers };
}

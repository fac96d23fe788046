import {
  api,
  type ApiName,
  apiNames,
  type ApiParsed,
  type ApiResponse,
  CredentialPassword,
  EventExport,
  ProblemError,
} from '#libs/contracts';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { z } from 'zod';

type Answer<N extends ApiName> = (
  request: ApiParsed<N>,
) => ApiResponse<N> | ProblemError | Promise<ApiResponse<N> | ProblemError>;
export type Answers = { [N in ApiName]?: Answer<N> };

export interface Received {
  readonly name: ApiName;
  readonly request: Record<string, unknown>;
  readonly headers: IncomingMessage['headers'];
}

interface Line {
  at: string;
  stream: 'stdout' | 'stderr';
  text: string;
}

/**
 * A gateway with made-up answers behind the routes of the contracts: real HTTP on loopback, requests and answers
 * checked against their schemas. What is not set answers `internal`.
 */
export class GatewayDouble {
  readonly token = 'test-token-of-thirty-two-characters-or-more';
  readonly received: Received[] = [];
  readonly passwords = new Map<string, string>();
  answers: Answers = {};
  components: Record<string, string> = { nats: 'ok', scheduler: 'ok', audit: 'ok', secrets: 'ok' };
  lines: Line[] = [];
  /** What an export is answered; `cut`: then the connection breaks. */
  exported: { readonly text: string; readonly cut?: boolean } = { text: '' };
  /** Queries of exports, in order. */
  readonly exports: Record<string, string>[] = [];
  private readonly server: Server = createServer((request, response) => {
    this.handle(request, response).catch((error: unknown) => this.fail(response, error));
  });

  async start(): Promise<this> {
    await new Promise<void>((resolve) => this.server.listen(0, '127.0.0.1', resolve));
    return this;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  async stop(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }

  /** Requests of one operation, in order. */
  of(name: ApiName): Received[] {
    return this.received.filter((one) => one.name === name);
  }

  private async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', this.url);
    if (url.pathname === '/readyz') {
      this.send(response, 200, { components: this.components });
      return;
    }
    if (request.headers.authorization !== `Bearer ${this.token}`)
      throw new ProblemError('unauthenticated', 'Send the admin token.');
    const body = await bodyOf(request);
    if (this.special(request, response, url, body)) return;
    for (const name of apiNames) {
      const fields = fieldsOf(name, request, url, body);
      if (fields === null) continue;
      const parsed = api[name].request.safeParse(fields);
      if (!parsed.success) throw ProblemError.fromZod(parsed.error, `the request of ${name}`);
      this.received.push({ name, request: parsed.data, headers: request.headers });
      const answer = await (this.answers[name] as Answer<ApiName> | undefined)?.(parsed.data);
      if (answer === undefined) throw new Error(`The test sets no answer for ${name}`);
      if (answer instanceof ProblemError) throw answer;
      this.send(response, api[name].http.status, api[name].response.parse(answer));
      return;
    }
    throw new ProblemError('unknown_subject', 'There is no such route.');
  }

  /** What HTTP has beyond the operations. */
  private special(request: IncomingMessage, response: ServerResponse, url: URL, body: unknown): boolean {
    const [, account] = /^\/api\/v1\/accounts\/([^/]+)\/credentials$/.exec(url.pathname) ?? [];
    if (account !== undefined && request.method === 'PUT') {
      this.passwords.set(account, CredentialPassword.parse(body).password);
      this.send(response, 200, {});
      return true;
    }
    if (/^\/api\/v1\/bots\/[^/]+\/logs$/.test(url.pathname)) {
      this.send(response, 200, { lines: this.lines.slice(-Number(url.searchParams.get('lines'))) });
      return true;
    }
    if (url.pathname === '/api/v1/events/export') {
      this.exports.push(EventExport.parse(Object.fromEntries(url.searchParams)) as Record<string, string>);
      const { text, cut = false } = this.exported;
      if (cut) response.write(text, () => response.destroy());
      else response.end(text);
      return true;
    }
    return false;
  }

  private send(response: ServerResponse, status: number, body: unknown): void {
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
  }

  private fail(response: ServerResponse, error: unknown): void {
    const problem = error instanceof ProblemError ? error : new ProblemError('internal', String(error));
    response
      .writeHead(problem.status, { 'content-type': 'application/problem+json' })
      .end(JSON.stringify(problem.toProblem()));
  }
}

async function bodyOf(request: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  const text = Buffer.concat(chunks).toString('utf8');
  return text === '' ? {} : JSON.parse(text);
}

/** The fields of a request that fits the operation's route; null for another's. */
function fieldsOf(name: ApiName, request: IncomingMessage, url: URL, body: unknown): object | null {
  const { method, path } = api[name].http;
  if (request.method !== method) return null;
  const names = [...path.matchAll(/\{(\w+)\}/g)].map((match) => match[1] ?? '');
  const pattern = new RegExp(`^/api/v1${path.replace(/\{\w+\}/g, '([^/]+)')}$`);
  const values = pattern.exec(url.pathname)?.slice(1);
  if (values === undefined) return null;
  const shape = (api[name].request as z.ZodObject).shape as Record<string, z.ZodType>;
  const query = [...url.searchParams].map(([field, text]) => {
    const fits = (value: unknown): boolean => shape[field]?.safeParse(value).success === true;
    if (fits(Number(text))) return [field, Number(text)];
    return [field, /^(true|false)$/.test(text) && fits(text === 'true') ? text === 'true' : text];
  });
  const key = request.headers['idempotency-key'];
  const generation = /^"(\d+)"$/.exec(request.headers['if-match'] ?? '')?.[1];
  return {
    ...(body as object),
    ...(Object.fromEntries(query) as object),
    ...(key === undefined ? {} : { idempotencyKey: key }),
    ...(generation === undefined ? {} : { expectedGeneration: Number(generation) }),
    ...Object.fromEntries(names.map((field, at) => [field, decodeURIComponent(values[at] ?? '')])),
  };
}

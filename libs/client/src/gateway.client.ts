import {
  api,
  type ApiName,
  type ApiRequest,
  type ApiResponse,
  EventExport,
  FleetEvent,
  Problem,
  ProblemError,
} from '#libs/contracts';
import type { z } from 'zod';
import { readExport } from './export.reader.js';
import { toHttpRequest } from './http-request.js';
import { readServerSentEvents } from './server-sent-events.js';

const answer_bytes_max = 64 * 1024 * 1024;

export interface GatewayClientOptions {
  /** Address of the gateway, e.g. `http://127.0.0.1:7400`. */
  readonly url: string;
  readonly token: string;
  readonly timeout_ms?: number;
}

/** Calls the gateway. Every method throws `ProblemError`; `unavailable` and `timeout` when there is no answer. */
export class GatewayClient {
  private readonly timeout_ms: number;

  constructor(private readonly options: GatewayClientOptions) {
    this.timeout_ms = options.timeout_ms ?? 10_000;
  }

  /** One operation of the API, by its name: `call('bots.get', {name: 'b1'})`. */
  async call<N extends ApiName>(
    name: N,
    request: ApiRequest<N>,
    options: { timeout_ms?: number } = {},
  ): Promise<ApiResponse<N>> {
    const http = toHttpRequest(name, request);
    const response = await this.fetch(http.path, {
      method: http.method,
      headers: http.headers,
      body: http.body,
      signal: AbortSignal.timeout(options.timeout_ms ?? this.timeout_ms),
    });
    const text = await readBounded(response);
    if (!response.ok) throw problemOf(response.status, text);
    return api[name].response.parse(JSON.parse(text)) as ApiResponse<N>;
  }

  /** Stores a password in the clear over HTTP; the gateway seals it before it goes any further. */
  async setPassword(account: string, password: string): Promise<void> {
    const response = await this.fetch(`/api/v1/accounts/${encodeURIComponent(account)}/credentials`, {
      method: 'PUT',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ password }),
      signal: AbortSignal.timeout(this.timeout_ms),
    });
    const text = await readBounded(response);
    if (!response.ok) throw problemOf(response.status, text);
  }

  /** The last log lines of a bot, oldest first. */
  async logs(bot: string, lines: number): Promise<{ at: string; stream: string; text: string }[]> {
    const response = await this.fetch(`/api/v1/bots/${encodeURIComponent(bot)}/logs?lines=${lines}`, {
      signal: AbortSignal.timeout(this.timeout_ms),
    });
    const text = await readBounded(response);
    if (!response.ok) throw problemOf(response.status, text);
    return (JSON.parse(text) as { lines: { at: string; stream: string; text: string }[] }).lines;
  }

  /** Calls back for every event from now on, until the signal aborts or the connection ends. */
  async events(onEvent: (event: FleetEvent) => void, signal: AbortSignal): Promise<void> {
    const response = await this.fetch('/api/v1/events/stream', {
      headers: { accept: 'text/event-stream' },
      signal,
    });
    if (!response.ok || response.body === null) throw problemOf(response.status, await readBounded(response));
    for await (const message of readServerSentEvents(response.body))
      if (message.event === 'event') onEvent(FleetEvent.parse(JSON.parse(message.data)));
  }

  /**
   * All events that fit, as text in pieces, as fast as they are taken. Until the last piece has come nothing is whole:
   * throws the `ProblemError` of an export that is cut short.
   */
  async *exportEvents(request: z.input<typeof EventExport>, signal: AbortSignal): AsyncGenerator<Buffer> {
    const query = new URLSearchParams(
      Object.entries(EventExport.parse(request)).flatMap<[string, string]>(([name, value]) =>
        value === undefined ? [] : [[name, value]],
      ),
    ).toString();
    const response = await this.fetch(`/api/v1/events/export?${query}`, { signal });
    if (!response.ok || response.body === null) throw problemOf(response.status, await readBounded(response));
    yield* readExport(response.body);
  }

  /** What the gateway needs and whether it answers: `{nats: 'ok', scheduler: 'unavailable', ...}`. */
  async readiness(): Promise<Record<string, string>> {
    const response = await this.fetch('/readyz', { signal: AbortSignal.timeout(this.timeout_ms) });
    return (JSON.parse(await readBounded(response)) as { components: Record<string, string> }).components;
  }

  private async fetch(path: string, init: RequestInit): Promise<Response> {
    try {
      const headers = new Headers(init.headers);
      headers.set('authorization', `Bearer ${this.options.token}`);
      return await fetch(new URL(path, this.options.url), { ...init, headers });
    } catch (cause) {
      if (cause instanceof DOMException && cause.name === 'AbortError') throw cause;
      const code = cause instanceof DOMException && cause.name === 'TimeoutError' ? 'timeout' : 'unavailable';
      throw new ProblemError(
        code,
        `The gateway at ${this.options.url} does not answer; is the fleet running (npm run status)?`,
        { cause },
      );
    }
  }
}

async function readBounded(response: Response): Promise<string> {
  if (response.body === null) return '';
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) {
    bytes += chunk.length;
    if (bytes > answer_bytes_max) throw new ProblemError('payload_too_large', 'Ask for a smaller page.');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function problemOf(status: number, text: string): ProblemError {
  try {
    return ProblemError.fromProblem(Problem.parse(JSON.parse(text)));
  } catch (cause) {
    return new ProblemError('internal', `The gateway answered ${status} without a problem document.`, {
      cause,
    });
  }
}

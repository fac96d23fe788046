import type Docker from 'dockerode';
import type { Agent } from 'node:http';
import { Readable } from 'node:stream';
import { DriverError } from '../driver.js';
import { driverError, messageOf, statusOf } from './engine-faults.js';
import { loadDockerode } from './lean-dockerode.js';
import { OpaqueAgent } from './opaque-agent.js';

/** Larger answers are a defect of the engine or of the question. Listing 1,000 containers takes about 3 MiB. */
const ANSWER_BYTES_MAX = 64 * 1024 * 1024;

export interface EngineCall {
  /** What it does, to complete "the Docker Engine did not ...". */
  readonly what: string;
  readonly method: 'GET' | 'POST' | 'DELETE';
  readonly path: string;
  readonly query?: Readonly<Record<string, unknown>>;
  readonly body?: object;
  /** Until the whole answer is here. */
  readonly timeout_ms: number;
  /** The answer has no end: the timeout holds until it begins. */
  readonly endless?: true;
  readonly signal?: AbortSignal;
  /** Statuses of refusals that the caller is prepared for. */
  readonly prepared?: readonly number[];
}

export interface EngineAnswer {
  /** 200 stands for every success. */
  readonly status: number;
  readonly body: unknown;
  /** The engine's sentence when it refused. */
  readonly message: string;
}

/** Why a call was given up, when not by its caller. */
const LATE = Symbol('late');
const CLOSED = Symbol('closed');

const SUCCESS = { 200: true, 201: true, 202: true, 204: true, 304: true } as const;

/**
 * Calls of a Docker Engine, each with its own connection and its own end: none waits for another, and a call that the
 * engine never answers fails by itself. The API version is never pinned; the engine speaks its own.
 */
export class EngineTransport {
  private readonly docker: Docker;
  private readonly underWay = new Set<AbortController>();
  private closed = false;

  constructor(socketPath: string) {
    const options: Docker.DockerOptions & { agent: Agent } = { socketPath, agent: new OpaqueAgent() };
    this.docker = new (loadDockerode())(options);
  }

  /** The answer as JSON. Throws `DriverError`, or the signal's reason when the caller gave up. */
  async ask(call: EngineCall): Promise<EngineAnswer> {
    return this.within(call, async (signal) => {
      try {
        const text = await readAll(await this.dial(call, signal));
        return { status: 200, body: text === '' ? null : (JSON.parse(text) as unknown), message: '' };
      } catch (error) {
        const status = statusOf(error);
        if (status === null || !(call.prepared ?? []).includes(status)) throw error;
        return { status, body: null, message: messageOf(error) };
      }
    });
  }

  /**
   * Hands the answer's bytes to `read` while they come; timeout and signal hold until `read` is through.
   * Throws as `ask` does.
   */
  async stream<T>(call: EngineCall, read: (bytes: Readable) => Promise<T>): Promise<T> {
    return this.within(call, async (signal, timer) => {
      const bytes = await this.dial(call, signal);
      if (call.endless === true) clearTimeout(timer);
      try {
        return await read(bytes);
      } finally {
        bytes.destroy();
      }
    });
  }

  /** Ends every call under way; later ones fail at once. */
  close(): void {
    this.closed = true;
    for (const controller of this.underWay) controller.abort(CLOSED);
  }

  private async within<T>(
    call: EngineCall,
    work: (signal: AbortSignal, timer: NodeJS.Timeout) => Promise<T>,
  ): Promise<T> {
    call.signal?.throwIfAborted();
    if (this.closed) throw closedError(call.what);
    const controller = new AbortController();
    const giveUp = (): void => controller.abort();
    const tooLate = (): void => controller.abort(LATE);
    const timer = setTimeout(tooLate, call.timeout_ms);
    call.signal?.addEventListener('abort', giveUp, { once: true });
    this.underWay.add(controller);
    try {
      return await work(controller.signal, timer);
    } catch (error) {
      call.signal?.throwIfAborted();
      if (controller.signal.reason === CLOSED) throw closedError(call.what);
      if (controller.signal.reason === LATE) throw lateError(call, error);
      throw driverError(call.what, error);
    } finally {
      clearTimeout(timer);
      call.signal?.removeEventListener('abort', giveUp);
      this.underWay.delete(controller);
    }
  }

  private async dial(call: EngineCall, signal: AbortSignal): Promise<Readable> {
    const answer = new Promise<Readable>((resolve, reject) => {
      // The client library calls back late or never when a connection breaks in the middle; the signal always does.
      signal.addEventListener('abort', () => reject(new Error('given up')), { once: true });
      this.docker.modem.dial(
        {
          method: call.method,
          path: call.query === undefined && call.body === undefined ? call.path : `${call.path}?`,
          options: { _query: call.query ?? {}, _body: call.body ?? {} },
          isStream: true,
          abortSignal: signal,
          statusCodes: SUCCESS,
        },
        (error, result) => {
          if (error !== null) reject(error);
          else if (result instanceof Readable) resolve(result);
          else reject(new Error('the client library gave no stream'));
        },
      );
    });
    return answer;
  }
}

function lateError(call: EngineCall, cause: unknown): DriverError {
  const text = `the Docker Engine did not ${call.what} within ${call.timeout_ms} ms`;
  return new DriverError('engine-timeout', text, true, { cause });
}

function closedError(what: string): DriverError {
  return new DriverError('engine-unavailable', `the driver was closed before it could ${what}`, true);
}

async function readAll(bytes: Readable): Promise<string> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of bytes as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > ANSWER_BYTES_MAX) throw new Error(`the answer is larger than ${ANSWER_BYTES_MAX} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8').trim();
}

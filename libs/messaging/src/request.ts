import { errors, RequestError, type Msg, type NatsConnection } from '@nats-io/transport-node';
import {
  actorHeader,
  apiNames,
  apiSubject,
  Problem,
  ProblemError,
  signatureHeader,
  type PublicJwk,
} from '#libs/contracts';
import { childTraceparent, requestContext, spanAttributes, spanNames, withSpan } from '#libs/telemetry';
import { readHeaders, writeHeaders, header, type Headers } from './headers.js';
import { encodeJson, parseJson } from './json-body.js';
import { isPermissionViolation } from './permission-violation.js';
import type { SigningKey } from './signing/signing-key.js';
import { verifySignature } from './signing/signature.js';

const request_ms_default = 5000;
export const traceparentHeader = 'traceparent';

export interface RequestOptions {
  /** Default 5000. */
  readonly timeoutMs?: number;
  readonly headers?: Headers;
  /** Signs the body; the signature goes in the header `tradefleet-signature`. */
  readonly signer?: SigningKey;
  /**
   * The answer must be signed by one of these keys over its exact bytes. A problem needs no signature: it grants
   * nothing.
   */
  readonly verify?: PublicJwk | readonly PublicJwk[];
}

export interface RawRequestOptions {
  /** Default 5000. */
  readonly timeoutMs?: number;
  readonly headers?: Headers;
}

export interface RawReply {
  readonly bytes: Uint8Array;
  readonly headers: Headers;
}

/** Somebody answered, and not who was asked. Nothing of the answer may be used. */
export class UntrustedAnswer extends ProblemError {
  constructor(detail: string, cause?: unknown) {
    super('bad_signature', detail, { cause });
  }
}

/** See `Messaging.request`. */
export async function request<T>(
  connection: NatsConnection,
  connected: boolean,
  subject: string,
  body: unknown,
  { signer, verify, ...options }: RequestOptions,
): Promise<T> {
  const bytes = encodeJson(body);
  const signature = signer === undefined ? {} : { [signatureHeader]: await signer.sign(bytes) };
  const reply = await requestRaw(connection, connected, subject, bytes, {
    ...options,
    headers: { ...options.headers, ...signature },
  });
  const answer = parseAnswer(reply.bytes, subject);
  if (!answer.ok) throw ProblemError.fromProblem(answer.problem);
  if (verify !== undefined) await verifyAnswer(reply, subject, verify);
  return answer.result as T;
}

async function verifyAnswer(
  { bytes, headers }: RawReply,
  subject: string,
  keys: PublicJwk | readonly PublicJwk[],
): Promise<void> {
  try {
    await verifySignature(bytes, header(headers, signatureHeader), keys);
  } catch (error) {
    if (!(error instanceof ProblemError)) throw error;
    const detail = `Look who answers on ${subject}, and with which key: the answer is not signed by a known one.`;
    throw new UntrustedAnswer(detail, error);
  }
}

/** See `Messaging.requestRaw`. */
export async function requestRaw(
  connection: NatsConnection,
  connected: boolean,
  subject: string,
  bytes: Uint8Array,
  { timeoutMs = request_ms_default, headers = {} }: RawRequestOptions,
): Promise<RawReply> {
  // The client would keep the request until it is connected again and send it long after we gave up on it.
  if (!connected) throw new ProblemError('unavailable', 'Try again: NATS is not connected at the moment.');
  const ambient = requestContext.getStore();
  const attributes = {
    [spanAttributes.system]: 'nats',
    [spanAttributes.operationType]: 'send',
    [spanAttributes.destination]: subject,
  };
  return withSpan(
    spanNames.request,
    { kind: 'client', attributes, traceparent: headers[traceparentHeader] ?? ambient?.traceparent },
    async (traceparent) => {
      const sent = writeHeaders({
        ...(ambient === undefined ? {} : { [actorHeader]: ambient.actor }),
        ...headers,
        [traceparentHeader]: traceparent,
      });
      const message = await send(connection, subject, bytes, timeoutMs, sent);
      return { bytes: message.data, headers: readHeaders(message.headers) };
    },
  );
}

async function send(
  connection: NatsConnection,
  subject: string,
  bytes: Uint8Array,
  timeout: number,
  headers: ReturnType<typeof writeHeaders>,
): Promise<Msg> {
  try {
    return await connection.request(subject, bytes, { timeout, headers });
  } catch (error) {
    if (error instanceof RequestError && error.isNoResponders()) throw nobodyServes(subject, error);
    if (error instanceof errors.TimeoutError)
      throw new ProblemError(
        'timeout',
        `Look whether it was done before trying again: no answer within ${timeout} ms.`,
        { cause: error },
      );
    if (isPermissionViolation(error))
      throw new ProblemError('forbidden', `Use a NATS user that may send to ${subject}.`, { cause: error });
    throw new ProblemError('unavailable', 'Try again: the request could not be sent over NATS.', {
      cause: error,
    });
  }
}

type Answer = { ok: true; result: unknown } | { ok: false; problem: Problem };

function parseAnswer(bytes: Uint8Array, subject: string): Answer {
  const body = parseJson(bytes);
  if (typeof body === 'object' && body !== null && 'ok' in body) {
    if (body.ok === true && 'result' in body) return { ok: true, result: body.result };
    if (body.ok === true) return { ok: true, result: undefined };
    const problem = Problem.safeParse('problem' in body ? body.problem : undefined);
    if (problem.success) return { ok: false, problem: problem.data };
  }
  throw new ProblemError(
    'internal',
    `Report this: the answer on ${subject} is neither a result nor a problem.`,
  );
}

const known: ReadonlySet<string> = new Set(apiNames.map(apiSubject));

/** What it means that nobody serves a subject. */
function nobodyServes(subject: string, cause: unknown): ProblemError {
  if (subject.startsWith('fleet.v1.api.') && !known.has(subject))
    return new ProblemError('unknown_subject', `Use a subject of the API: there is no ${subject}.`, {
      cause,
    });
  return new ProblemError('unavailable', `Try again: nobody serves ${subject} at the moment.`, { cause });
}

/** The traceparent of work that starts now: of the ambient context where there is one. */
export const currentTraceparent = (): string => childTraceparent(requestContext.getStore()?.traceparent);

import { Server, type CustomTransportStrategy, type MessageHandler } from '@nestjs/microservices';
import type { Msg, Subscription } from '@nats-io/transport-node';
import { isObservable, lastValueFrom } from 'rxjs';
import { Actor, actorHeader, ProblemError, signatureHeader } from '#libs/contracts';
import {
  isTraceparent,
  lazyCounter,
  lazyHistogram,
  metricNames,
  newTraceparent,
  runWithContext,
  spanAttributes,
  spanNames,
  traceIdOf,
  withSpan,
} from '#libs/telemetry';
import { Gate } from '../gate.js';
import { header, readHeaders, writeHeaders } from '../headers.js';
import { parseBody } from '../json-body.js';
import type { Messaging } from '../messaging.js';
import { traceparentHeader } from '../request.js';
import { endsWithin } from '../shutdown.js';
import type { SigningKey } from '../signing/signing-key.js';
import { REQUEST_REPLY, type RequestExtras, type RequestPool } from '../transports.js';
import { problemAnswer, problemOf, resultAnswer, type Answer } from './answer.js';
import { RequestContext, SignedReply } from './request-context.js';

export interface RequestReplyOptions {
  /**
   * Servers with the same queue share the requests. Without one every server gets every request: where one at a time may
   * answer, one that was stopped would otherwise go on being handed its share.
   */
  readonly queue?: string;
  /**
   * Asked when a request has come and again right before its answer leaves. While it says no this server is silent, and
   * answers no refusal either: another one has the request too.
   */
  readonly mayAnswer?: () => boolean;
  /** Requests handled at a time, in each of the pools `api` and `internal`. Default 128. */
  readonly concurrencyMax?: number;
  /** Requests waiting for their turn in each pool; beyond it they are answered `unavailable`. Default 512. */
  readonly queueMax?: number;
  /** Long polls at a time (handlers marked `waits`). Default 1024. */
  readonly waitingMax?: number;
  /** Stands for `*` in subjects: an agent serves its own host only. */
  readonly host?: string;
  /** Signs what handlers return as `SignedReply`. */
  readonly replySigner?: SigningKey;
  /**
   * Told of every refusal after it was answered, but for those of an overload or a shutdown, which would only add to it.
   */
  readonly onRefused?: (name: string, problem: ProblemError, context: RequestContext) => void | Promise<void>;
  /** How long a shutdown waits for handlers. Default 10 000. */
  readonly graceMs?: number;
}

interface Route {
  readonly pattern: string;
  readonly extras: RequestExtras;
  readonly handler: MessageHandler;
}

const concurrency_max_default = 128;
const queue_max_default = 512;
const waiting_max_default = 1024;
const grace_ms_default = 10_000;
/** As long as `Messaging.request` waits by default: whoever asked has given up by then. */
const queue_wait_ms_max = 5000;
const flush_ms_max = 2000;
const anonymous = 'nats:anonymous';
/** Answers go to inboxes only: a reply subject must not carry our words, or our authority, anywhere else. */
const inboxPrefix = '_INBOX';
/** What the server makes of the inbox of a requester in another account; no client may name such a subject itself. */
const otherAccountPrefix = '_R_.';

const requests = lazyCounter(metricNames.requests, 'Requests answered, by operation and code');
const durations = lazyHistogram(metricNames.request_duration_ms, 'From receipt to answer', 'ms');

/**
 * Serves `@Api` and `@Request` handlers over core NATS in plain JSON: `{"ok":true,"result":...}` or
 * `{"ok":false,"problem":...}`, so that any NATS client can call them. Every error crosses as a problem.
 */
export class RequestReplyServer extends Server implements CustomTransportStrategy {
  override readonly transportId = REQUEST_REPLY;
  private readonly routes: Route[] = [];
  private readonly subscriptions: Subscription[] = [];
  private readonly gates: Readonly<Record<RequestPool, Gate>>;
  private closing = false;

  constructor(
    private readonly messaging: Messaging,
    private readonly options: RequestReplyOptions,
  ) {
    super();
    const working = {
      concurrency_max: options.concurrencyMax ?? concurrency_max_default,
      queue_max: options.queueMax ?? queue_max_default,
      wait_ms_max: queue_wait_ms_max,
    };
    const waiting = {
      concurrency_max: options.waitingMax ?? waiting_max_default,
      queue_max: 0,
      wait_ms_max: 0,
    };
    this.gates = {
      api: new Gate(working, messaging.clock),
      internal: new Gate(working, messaging.clock),
      waiting: new Gate(waiting, messaging.clock),
    };
  }

  override addHandler(
    pattern: unknown,
    handler: MessageHandler,
    isEventHandler = false,
    extras: Record<string, unknown> = {},
  ): void {
    const name = String(pattern);
    if (!isRequestExtras(extras)) throw new Error(`Handle ${name} with @Api or @Request.`);
    if (this.messageHandlers.has(name)) throw new Error(`Two handlers serve ${name}: remove one.`);
    super.addHandler(name, handler, isEventHandler, extras);
    this.routes.push({ pattern: this.subjectOf(name), extras, handler });
  }

  /** Calls back once the server of NATS knows all subscriptions. */
  listen(callback: (error?: unknown) => void): void {
    this.subscribe().then(() => callback(), callback);
  }

  /**
   * Takes no more requests and waits for those that run, at most `graceMs`. What was on its way already is answered
   * `unavailable`; what comes later finds nobody.
   */
  async close(): Promise<void> {
    if (this.closing) return;
    this.closing = true;
    const { clock, logger } = this.messaging;
    const { connection } = this.messaging.internals();
    const drained = this.subscriptions.map((subscription) => subscription.drain());
    const ended = Promise.allSettled([...Object.values(this.gates).map((gate) => gate.close()), ...drained]);
    if (!(await endsWithin(ended, this.options.graceMs ?? grace_ms_default, clock)))
      logger.warn({ queue: this.options.queue }, 'requests were still running at the end of the grace time');
    if (!this.messaging.isConnected()) return;
    const flushed = connection.flush().catch((error: unknown) => {
      logger.warn({ err: error }, 'last answers may not have been sent');
    });
    await endsWithin(flushed, flush_ms_max, clock);
  }

  on(): never {
    throw new Error('This server has no events: watch Messaging.onStatus.');
  }

  // eslint-disable-next-line @typescript-eslint/no-unnecessary-type-parameters -- the signature is Nest's
  unwrap<T>(): T {
    return this.messaging as T;
  }

  private subjectOf(pattern: string): string {
    return this.options.host === undefined
      ? pattern
      : pattern
          .split('.')
          .map((token) => (token === '*' ? (this.options.host ?? token) : token))
          .join('.');
  }

  private async subscribe(): Promise<void> {
    const { connection } = this.messaging.internals();
    for (const route of this.routes) {
      const subscription = connection.subscribe(route.pattern, {
        ...(this.options.queue === undefined ? {} : { queue: this.options.queue }),
        callback: (error, message) => {
          if (error === null) this.receive(route, message);
          else this.messaging.logger.error({ err: error, subject: route.pattern }, 'NATS refuses a subject');
        },
      });
      this.subscriptions.push(subscription);
    }
    await connection.flush();
  }

  private receive(route: Route, message: Msg): void {
    if (!this.mayAnswer()) return;
    const { reply } = message;
    if (reply?.startsWith(inboxPrefix) !== true && reply?.startsWith(otherAccountPrefix) !== true) {
      this.messaging.logger.info(
        { subject: message.subject },
        'request ignored: its reply subject is no inbox',
      );
      return;
    }
    const received_ms = this.messaging.clock.monotonicMs();
    const context = this.contextOf(route, message);
    this.gates[route.extras.pool].enter({
      run: async () => {
        const answer = await this.handle(route, context);
        this.respond(message, answer, route, received_ms);
      },
      refuse: () => {
        const detail = this.closing
          ? 'Try again: the service is stopping.'
          : 'Try again: too many requests at once.';
        const problem = new ProblemError('unavailable', detail);
        this.respond(message, problemAnswer(problem, undefined, {}), route, received_ms);
      },
    });
  }

  private contextOf(route: Route, message: Msg): RequestContext {
    const headers = readHeaders(message.headers);
    const traceparent = header(headers, traceparentHeader);
    const hostIndex = route.extras.name.split('.').indexOf('*');
    return new RequestContext({
      subject: message.subject,
      actor: header(headers, actorHeader) ?? anonymous,
      traceparent: traceparent !== undefined && isTraceparent(traceparent) ? traceparent : newTraceparent(),
      headers,
      rawBody: message.data,
      hostToken: hostIndex < 0 ? undefined : message.subject.split('.')[hostIndex],
    });
  }

  /** Never rejects. */
  private async handle(route: Route, context: RequestContext): Promise<Answer> {
    const actor = Actor.safeParse(context.actor);
    const ambient = { actor: actor.success ? actor.data : anonymous, traceparent: context.traceparent };
    try {
      return await this.traced(route, context, (traceparent) =>
        runWithContext({ ...ambient, traceparent }, async () => {
          if (!actor.success)
            throw new ProblemError('invalid_request', `Send ${actorHeader} as <kind>:<name> or not at all.`);
          return this.answerOf(route, context);
        }),
      );
    } catch (error) {
      return this.refusal(route, context, error);
    }
  }

  private async answerOf(route: Route, context: RequestContext): Promise<Answer> {
    const parsed = route.extras.schema.safeParse(parseBody(context.rawBody));
    if (!parsed.success) throw ProblemError.fromZod(parsed.error, 'the request');
    const returned: unknown = await route.handler(parsed.data, context);
    const result: unknown = isObservable(returned)
      ? await lastValueFrom(returned, { defaultValue: undefined })
      : returned;
    if (!(result instanceof SignedReply)) return resultAnswer(result, context.replyHeaders());
    const { replySigner } = this.options;
    if (replySigner === undefined)
      throw new Error('A handler returned a SignedReply; the server has no replySigner.');
    const answer = resultAnswer(result.result, context.replyHeaders());
    return {
      ...answer,
      headers: { ...answer.headers, [signatureHeader]: await replySigner.sign(answer.body) },
    };
  }

  private refusal(route: Route, context: RequestContext, error: unknown): Answer {
    const { name } = route.extras;
    const { logger } = this.messaging;
    const traceId = traceIdOf(context.traceparent);
    const known = problemOf(error);
    const problem =
      known ?? new ProblemError('internal', `Report this defect with the trace id ${traceId ?? 'unknown'}.`);
    const fields = { operation: name, code: problem.code, actor: context.actor, traceId };
    if (known === null) logger.error({ ...fields, err: error }, 'request failed by a defect');
    else logger.info({ ...fields, detail: problem.detail }, 'request refused');
    void this.tellRefusal(name, problem, context);
    return problemAnswer(problem, traceId, context.replyHeaders());
  }

  private async tellRefusal(name: string, problem: ProblemError, context: RequestContext): Promise<void> {
    try {
      const ambient = {
        actor: Actor.safeParse(context.actor).data ?? anonymous,
        traceparent: context.traceparent,
      };
      await runWithContext(ambient, async () => this.options.onRefused?.(name, problem, context));
    } catch (error) {
      this.messaging.logger.error({ err: error, operation: name }, 'a refusal could not be recorded');
    }
  }

  private mayAnswer(): boolean {
    return this.options.mayAnswer?.() ?? true;
  }

  private respond(message: Msg, answer: Answer, route: Route, received_ms: number): void {
    const operation = route.extras.name;
    // Nothing is waited for between this and the sending.
    if (!this.mayAnswer()) {
      this.messaging.logger.info({ operation, code: answer.code }, 'answer withheld: another server answers');
      return;
    }
    requests.add(1, { operation, code: answer.code });
    durations.record(this.messaging.clock.monotonicMs() - received_ms, { operation });
    try {
      message.respond(answer.body, { headers: writeHeaders(answer.headers) });
    } catch (error) {
      this.messaging.logger.error(
        { err: error, operation, bytes: answer.body.byteLength },
        'answer not sent',
      );
      if (answer.code === 'ok') this.respondTooLarge(message, operation);
    }
  }

  /** The likeliest reason an answer cannot be sent: it is beyond the server's `max_payload`. */
  private respondTooLarge(message: Msg, operation: string): void {
    const problem = new ProblemError(
      'internal',
      'Ask for less, such as a smaller page: the answer cannot be sent.',
    );
    const answer = problemAnswer(problem, undefined, {});
    try {
      message.respond(answer.body, { headers: writeHeaders(answer.headers) });
    } catch (error) {
      this.messaging.logger.error({ err: error, operation }, 'not even a refusal could be sent');
    }
  }

  private async traced<T>(
    route: Route,
    context: RequestContext,
    work: (traceparent: string) => Promise<T>,
  ): Promise<T> {
    const attributes = {
      [spanAttributes.system]: 'nats',
      [spanAttributes.operationType]: 'process',
      [spanAttributes.destination]: context.subject,
      [spanAttributes.template]: route.extras.name,
      ...(this.options.queue === undefined ? {} : { [spanAttributes.consumerGroup]: this.options.queue }),
    };
    const options = { kind: 'server', attributes, traceparent: context.traceparent } as const;
    return withSpan(spanNames.process, options, work);
  }
}

const isRequestExtras = (
  extras: Record<string, unknown>,
): extras is RequestExtras & Record<string, unknown> => extras.kind === 'request';

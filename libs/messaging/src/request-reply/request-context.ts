import { BaseRpcContext } from '@nestjs/microservices';
import type { Headers } from '../headers.js';

interface RequestContextFields {
  readonly subject: string;
  readonly actor: string;
  readonly traceparent: string;
  readonly headers: Headers;
  readonly rawBody: Uint8Array;
  readonly hostToken: string | undefined;
}

/** What a handler knows of its request beside the body: `@Ctx() context: RequestContext`. */
export class RequestContext extends BaseRpcContext<[RequestContextFields]> implements RequestContextFields {
  private readonly extraHeaders: Record<string, string> = {};

  constructor(private readonly fields: RequestContextFields) {
    super([fields]);
  }

  /** The subject the request came on. */
  get subject(): string {
    return this.fields.subject;
  }

  /** Who asks: as claimed in the header `tradefleet-actor`, `nats:anonymous` without one. */
  get actor(): string {
    return this.fields.actor;
  }

  get traceparent(): string {
    return this.fields.traceparent;
  }

  get headers(): Headers {
    return this.fields.headers;
  }

  /** The body as it was sent; signatures are over these bytes. */
  get rawBody(): Uint8Array {
    return this.fields.rawBody;
  }

  /** What stands in the subject where the handler's pattern has `*`. */
  get hostToken(): string | undefined {
    return this.fields.hostToken;
  }

  /** Adds headers to the answer. */
  reply(headers: Headers): void {
    Object.assign(this.extraHeaders, headers);
  }

  /** For the server. */
  replyHeaders(): Headers {
    return this.extraHeaders;
  }
}

/** Return it to have the answer signed by the server's `replySigner`: `return new SignedReply(result)`. */
export class SignedReply<T = unknown> {
  constructor(readonly result: T) {}
}

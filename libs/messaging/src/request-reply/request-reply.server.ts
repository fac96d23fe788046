import { Server, type CustomTransportStrategy } from '@nestjs/microservices';
import type { ProblemError } from '#libs/contracts';
import type { Messaging } from '../messaging.js';
import type { SigningKey } from '../signing/signing-key.js';
import { REQUEST_REPLY } from '../transports.js';
import type { RequestContext } from './request-context.js';

export interface RequestReplyOptions {
  /** Servers with the same queue share the requests. */
  readonly queue: string;
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
  /** Told of every refusal, after it was answered. */
  readonly onRefused?: (name: string, problem: ProblemError, context: RequestContext) => void | Promise<void>;
  /** How long a shutdown waits for handlers. Default 10 000. */
  readonly graceMs?: number;
}

export class RequestReplyServer extends Server implements CustomTransportStrategy {
  override readonly transportId = REQUEST_REPLY;

  constructor(
    protected readonly messaging: Messaging,
    protected readonly options: RequestReplyOptions,
  ) {
    super();
  }

  listen(callback: (error?: unknown) => void): void {
    callback(new Error('being written'));
  }

  async close(): Promise<void> {}

  on(): never {
    throw new Error('no events');
  }

  unwrap<T>(): T {
    return this.messaging as T;
  }
}

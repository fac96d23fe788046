import { Server, type CustomTransportStrategy, type MessageHandler } from '@nestjs/microservices';
import type { JetStreamServer } from './jetstream/jetstream.server.js';
import type { RequestReplyServer } from './request-reply/request-reply.server.js';
import { JETSTREAM, REQUEST_REPLY } from './transports.js';

/**
 * Both servers as the one strategy of `NestFactory.createMicroservice`, for a process without HTTP. They listen in the
 * order given and close in the reverse one.
 */
export class CombinedServer extends Server implements CustomTransportStrategy {
  override readonly propagatesEventHandlerErrors = true;

  constructor(private readonly servers: readonly (RequestReplyServer | JetStreamServer)[]) {
    super();
  }

  override addHandler(
    pattern: unknown,
    handler: MessageHandler,
    isEventHandler = false,
    extras: Record<string, unknown> = {},
  ): void {
    const transport = extras.kind === 'consume' ? JETSTREAM : REQUEST_REPLY;
    const server = this.servers.find(({ transportId }) => transportId === transport);
    if (server === undefined) throw new Error(`No server of this process serves ${String(pattern)}.`);
    server.addHandler(pattern, handler, isEventHandler, extras);
  }

  listen(callback: (error?: unknown) => void): void {
    this.listenAll().then(() => callback(), callback);
  }

  async close(): Promise<void> {
    for (const server of [...this.servers].reverse()) await server.close();
  }

  on(): never {
    throw new Error('This server has no events: watch Messaging.onStatus.');
  }

  // eslint-disable-next-line @typescript-eslint/no-unnecessary-type-parameters -- the signature is Nest's
  unwrap<T>(): T {
    return this.servers as T;
  }

  private async listenAll(): Promise<void> {
    for (const server of this.servers)
      await new Promise<void>((resolve, reject) => {
        server.listen((error) => {
          if (error === undefined) resolve();
          else reject(error instanceof Error ? error : new Error('a server cannot listen', { cause: error }));
        });
      });
  }
}

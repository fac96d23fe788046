import type { Clock } from '#libs/clock';

interface Held {
  readonly bytes: Uint8Array;
  /** Asks the server for more time. */
  working(): void;
}

/**
 * The messages handed to this process and not yet settled. Asks the server for more time for each of them, so that a
 * slow handler or a long queue does not have its messages delivered twice.
 */
export class HeldMessages {
  private readonly held = new Set<Held>();
  private bytes = 0;
  private readonly stopped = new AbortController();

  constructor(
    private readonly ack_wait_ms: number,
    private readonly clock: Clock,
    private readonly isConnected: () => boolean,
  ) {}

  add(message: Held): void {
    this.held.add(message);
    this.bytes += message.bytes.byteLength;
  }

  remove(message: Held): void {
    if (this.held.delete(message)) this.bytes -= message.bytes.byteLength;
  }

  get byteLength(): number {
    return this.bytes;
  }

  get size(): number {
    return this.held.size;
  }

  /** Until `stop`. */
  async keepAlive(): Promise<void> {
    while (!this.stopped.signal.aborted) {
      try {
        await this.clock.sleep(this.ack_wait_ms / 3, this.stopped.signal);
      } catch {
        return; // aborted by `stop`
      }
      // While the connection is away the client would keep every such word, for as long as that lasts.
      if (this.isConnected()) for (const message of this.held) message.working();
    }
  }

  stop(): void {
    this.stopped.abort();
  }
}

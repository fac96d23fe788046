import { ProblemError } from '#libs/contracts';
import type { Messaging } from '#libs/messaging';

/**
 * The way to NATS, which is opened late: whatever runs on the host is adopted or killed first, whether or not the
 * broker can be reached.
 */
export class Broker {
  #messaging: Messaging | null = null;

  constructor(private readonly connect: (signal: AbortSignal) => Promise<Messaging>) {}

  /** Tries until it is connected or the signal aborts. */
  async open(signal: AbortSignal): Promise<Messaging> {
    this.#messaging ??= await this.connect(signal);
    return this.#messaging;
  }

  /** @throws ProblemError `unavailable` before it was opened. */
  get messaging(): Messaging {
    if (this.#messaging === null) {
      throw new ProblemError('unavailable', 'Try again: the agent has not reached NATS yet.');
    }
    return this.#messaging;
  }

  async close(): Promise<void> {
    await this.#messaging?.drain();
  }
}

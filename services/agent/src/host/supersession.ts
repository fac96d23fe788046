import { Injectable } from '@nestjs/common';

/**
 * Whether another agent has registered as this host since this one started: somebody cloned the machine, or started a
 * second agent with a copy of its state. Two would take each other's commands, so the earlier one ends for good.
 */
@Injectable()
export class Supersession {
  readonly #told = new AbortController();

  /** Aborts when the scheduler has said so. */
  get signal(): AbortSignal {
    return this.#told.signal;
  }

  tell(): void {
    this.#told.abort();
  }
}

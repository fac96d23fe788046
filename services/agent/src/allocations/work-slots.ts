import type { Clock } from '#libs/clock';

/** A lane that takes longer (a call that hangs, a grant nobody gives) goes on without its slot. */
export const slot_ms_max = 20_000;

/**
 * Lets a bounded number of lanes prepare and start at the same time; the others wait in order. With a clock, a slot
 * is lent for a bounded time: however many lanes hang, the others wait for them no longer than that.
 */
export class WorkSlots {
  #free: number;
  readonly #queue: (() => void)[] = [];
  readonly #lent = new Set<AbortController>();

  constructor(
    count: number,
    /** Null: a slot is lent for as long as it takes. */
    private readonly clock: Clock | null = null,
  ) {
    this.#free = count;
  }

  /** Resolves with the way to give the slot back; rejects when the signal aborts first. */
  async take(signal: AbortSignal): Promise<() => void> {
    signal.throwIfAborted();
    if (this.#free > 0) this.#free -= 1;
    else await this.#turn(signal);
    const returned = new AbortController();
    this.#lent.add(returned);
    const giveBack = (): void => {
      if (returned.signal.aborted) return;
      returned.abort();
      this.#lent.delete(returned);
      this.#giveBack();
    };
    // Aborted when it was given back before.
    this.clock?.sleep(slot_ms_max, returned.signal).then(giveBack, () => undefined);
    return giveBack;
  }

  /** The agent ends: no slot is looked after any more. */
  close(): void {
    for (const returned of this.#lent) returned.abort();
    this.#lent.clear();
  }

  #giveBack(): void {
    const next = this.#queue.shift();
    if (next === undefined) this.#free += 1;
    else next();
  }

  async #turn(signal: AbortSignal): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      const turn = () => {
        signal.removeEventListener('abort', leave);
        resolve();
      };
      const leave = () => {
        const index = this.#queue.indexOf(turn);
        if (index >= 0) this.#queue.splice(index, 1);
        reject(new DOMException('The wait for a slot was interrupted.', 'AbortError'));
      };
      this.#queue.push(turn);
      signal.addEventListener('abort', leave, { once: true });
    });
  }
}

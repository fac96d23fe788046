import type { Clock } from '#libs/clock';
import type { RunDirectories } from '../run-files/run-directories.js';
import type { LeaseHolder } from './lease-keeper.js';

/**
 * The lease as one container sees it: `lease.json`, from the moment the container is about to start. Written one at a
 * time. With `files` null (a driver without containers) the agent alone goes by it.
 */
export class ContainerLease implements LeaseHolder {
  #published: boolean;
  #writing: Promise<void> = Promise.resolve();

  constructor(
    readonly allocation: string,
    readonly epoch: number,
    private readonly files: RunDirectories | null,
    private readonly clock: Clock,
    private readonly onEnded: () => void,
    options: { readonly published: boolean },
  ) {
    this.#published = options.published;
  }

  /** From now on the container is told; first of all the deadline that holds now. */
  async publish(deadlineBoottimeMs: number): Promise<void> {
    this.#published = true;
    await this.#write(deadlineBoottimeMs);
  }

  /** Until the next one is about to start nobody is told; resolves once no write is under way any more. */
  async withdraw(): Promise<void> {
    this.#published = false;
    await this.#writing;
  }

  async renewed(deadlineBoottimeMs: number): Promise<void> {
    if (this.#published) await this.#write(deadlineBoottimeMs);
  }

  ended(): void {
    this.onEnded();
  }

  async #write(deadlineBoottimeMs: number): Promise<void> {
    if (this.files === null) return;
    const files = this.files;
    const write = async () =>
      await files.writeLease({
        schema: 1,
        allocation: this.allocation,
        epoch: this.epoch,
        deadlineBoottimeMs,
        writtenBoottimeMs: this.clock.boottimeMs(),
      });
    const turn = this.#writing.then(write, write);
    // The one who asked gets the fault; the next one only waits its turn.
    this.#writing = turn.catch(() => undefined);
    await turn;
  }
}

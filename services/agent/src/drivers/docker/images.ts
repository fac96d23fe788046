import type { Clock } from '#libs/clock';
import { runtimeRef, type RuntimeName, type RuntimeRef } from '#libs/contracts';
import { DriverError } from '../driver.js';
import type { DockerEngine } from './docker.engine.js';
import type { ImageReference } from './image-reference.js';

/** To look at an image takes the engine as long as to make a small thing, and forty bots that start want the same one. */
const SEEN_MS_MAX = 30_000;

/** What says which image runs: a `TaskSpec` does. */
interface ImageChoice {
  readonly runtime: RuntimeName;
  readonly version: string | null;
}

/** The images of this host's runtimes and their versions: an allow-list. */
export class Images {
  private readonly fetched_ = new Set<string>();
  /** When an image was last seen on this host, monotonic; by its text. As many as are configured. */
  private readonly seen_ms = new Map<string, number>();
  /** Pulls under way: ten bots that want one image fetch it once. */
  private readonly pulls = new Map<string, Promise<void>>();

  constructor(
    private readonly engine: DockerEngine,
    private readonly references: ReadonlyMap<RuntimeRef, ImageReference>,
    private readonly pull: boolean,
    private readonly clock: Clock,
  ) {}

  /** The configured image. Throws `image-missing` when this host does not offer the runtime in this version. */
  of(choice: ImageChoice): string {
    return this.reference(choice).text;
  }

  /** Runtimes whose image is here, or may be fetched when it is wanted. */
  async available(): Promise<RuntimeRef[]> {
    const found: RuntimeRef[] = [];
    for (const [ref, reference] of this.references) {
      if (this.mayPull(reference) || (await this.engine.image(reference.text)) !== null) found.push(ref);
    }
    return found;
  }

  /** Makes sure that the engine has the runtime's image. */
  async ensure(choice: ImageChoice): Promise<void> {
    const reference = this.reference(choice);
    if (this.wasSeen(reference)) return;
    if ((await this.engine.image(reference.text)) !== null) {
      this.seen_ms.set(reference.text, this.clock.monotonicMs());
      return;
    }
    if (!this.mayPull(reference)) {
      const text = `image ${reference.text} of runtime ${runtimeRef(choice.runtime, choice.version)} is not on this host: load it, or configure a digest and allow pulling`;
      throw new DriverError('image-missing', text, false);
    }
    await this.pullOnce(reference.text);
  }

  /** Those fetched since this was made; as many as are configured at most. */
  fetched(): readonly string[] {
    return [...this.fetched_];
  }

  /** To be told when the engine does not have it after all. */
  forget(choice: ImageChoice): void {
    this.seen_ms.delete(this.reference(choice).text);
  }

  private wasSeen({ text }: ImageReference): boolean {
    const seen_ms = this.seen_ms.get(text);
    return seen_ms !== undefined && this.clock.monotonicMs() - seen_ms < SEEN_MS_MAX;
  }

  private mayPull(reference: ImageReference): boolean {
    return this.pull && reference.digest !== null;
  }

  private async pullOnce(text: string): Promise<void> {
    const underWay = this.pulls.get(text) ?? this.fetch(text).finally(() => this.pulls.delete(text));
    this.pulls.set(text, underWay);
    await underWay;
  }

  private async fetch(text: string): Promise<void> {
    try {
      await this.engine.pull(text);
      this.fetched_.add(text);
    } catch (error) {
      // The engine answers 404 and 500 alike for a registry that does not answer.
      if (!(error instanceof DriverError) || error.fault !== 'engine-refused') throw error;
      throw new DriverError('image-missing', error.message, true, { cause: error });
    }
  }

  private reference({ runtime, version }: ImageChoice): ImageReference {
    const ref = runtimeRef(runtime, version);
    const reference = this.references.get(ref);
    if (reference !== undefined) return reference;
    throw new DriverError('image-missing', `this host has no image configured for runtime ${ref}`, false);
  }
}

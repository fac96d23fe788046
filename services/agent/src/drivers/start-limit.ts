/** Work the engine is asked for when a bot is brought up. Each kind takes its own time, so each is compared with itself. */
export type StartWork = 'network' | 'create' | 'start';

export interface StartLimitBounds {
  readonly min: number;
  readonly max: number;
}

/** What became of one piece of work. */
export interface StartSample {
  readonly work: StartWork;
  readonly took_ms: number;
  /** Pieces of work under way when it began, this one too. */
  readonly parallel: number;
}

/** Pieces of work that seem to wait in the engine: below the first there is room for more, above the second too many. */
const WAITING_MIN = 3;
const WAITING_MAX = 6;
/**
 * The shortest time known grows by so much with each sample of an engine that has hardly anything else to do, as at
 * the beginning of a burst: so one that got slower for good is known as it is now after a while, and until then is given
 * a few at a time. Under load it does not grow, or what waits would be taken for the engine's own time.
 */
const FORGETTING = 1.02;
const HARDLY_ANYTHING = 2;
/** Where a host begins: what engines with few CPUs take well, see docs/adr/0018. */
const FIRST = 4;

/**
 * How many starts an engine takes at a time, found out by asking it. The rule is that of TCP Vegas (Brakmo and
 * Peterson, 1995; as a limit of concurrency in Netflix' concurrency-limits): of `n` pieces of work under way that take
 * `t` where the least was `t_min`, about `n (1 - t_min / t)` wait in the engine and gain nothing by it. The limit grows
 * by one while fewer than three wait, shrinks by one while more than six do, and is halved when the engine does not
 * get done in time (AIMD). Decided once in as many samples as the limit. Pure: no clock, no I/O.
 */
export class StartLimit {
  private limit_: number;
  private readonly least_ms = new Map<StartWork, number>();
  private waiting: number[] = [];
  private sinceCut = Infinity;

  constructor(private readonly bounds: StartLimitBounds) {
    const { min, max } = bounds;
    if (!Number.isInteger(min) || !Number.isInteger(max) || min < 1 || max < min)
      throw new RangeError('a start limit needs bounds of at least 1, in order');
    this.limit_ = this.within(FIRST);
  }

  /** As many may be under way. */
  get limit(): number {
    return this.limit_;
  }

  /** It was done. */
  done({ work, took_ms, parallel }: StartSample): void {
    const took = Math.max(took_ms, 1);
    const alone = parallel <= Math.max(HARDLY_ANYTHING, this.bounds.min);
    const least = Math.min(took, (this.least_ms.get(work) ?? took) * (alone ? FORGETTING : 1));
    this.least_ms.set(work, least);
    this.sinceCut += 1;
    this.waiting.push(parallel * (1 - least / took));
    if (this.waiting.length < this.limit_) return;
    const waiting = middle(this.waiting);
    this.waiting = [];
    // A limit that nobody has used up says nothing about a higher one.
    if (waiting < WAITING_MIN && parallel >= this.limit_) this.limit_ = this.within(this.limit_ + 1);
    else if (waiting > WAITING_MAX) this.limit_ = this.within(this.limit_ - 1);
  }

  /** It was not done in its time, or the engine failed under it. Those under way with it count as one. */
  late(): void {
    if (this.sinceCut < this.limit_) return;
    this.sinceCut = 0;
    this.waiting = [];
    this.limit_ = this.within(Math.floor(this.limit_ / 2));
  }

  private within(limit: number): number {
    return Math.min(this.bounds.max, Math.max(this.bounds.min, limit));
  }
}

/** The middle one; of an even number the higher of two. */
const middle = (values: readonly number[]): number =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;

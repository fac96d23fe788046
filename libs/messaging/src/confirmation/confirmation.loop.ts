import { BackgroundLoop, Wake, type Clock } from '#libs/clock';
import { watermarkLimits, type SequenceRange, type WatermarkAnswer } from '#libs/contracts';
import { lazyCounter, metricNames } from '#libs/telemetry';
import { UntrustedAnswer } from '../request.js';
import type { AskWatermark, WatermarkQuestion } from './ask-watermark.js';
import { UnavailableRanges, without } from './unavailable-ranges.js';

/** One incarnation of a producer of which something is kept. */
export interface KeptIncarnation {
  readonly incarnation: string;
  /** The highest sequence it has published. */
  readonly last: number;
}

type MaybePromise<T> = T | Promise<T>;

/** What a producer keeps of its events: all that were published and are not confirmed. */
export interface KeptEvents {
  /** Those of which a published event is kept, the oldest first. */
  incarnations(): MaybePromise<readonly KeptIncarnation[]>;
  /** Deletes what was published up to this sequence: it is recorded for good. */
  confirm(incarnation: string, upTo: number): MaybePromise<void>;
  /**
   * Marks events to be published again, before all others, under the message id `<id>.<n>` with an `n` never used
   * before. Answers which sequences are still there, in ascending order.
   */
  again(incarnation: string, ranges: readonly SequenceRange[]): MaybePromise<readonly number[]>;
}

export interface ConfirmationLogger {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

export interface ConfirmationOptions {
  /** CloudEvents source of the producer. */
  readonly source: string;
  readonly clock: Clock;
  readonly logger: ConfirmationLogger;
  /** How often it asks while something is kept, and four times as often while something is missing. Default 2 s. */
  readonly intervalMs?: number;
}

export interface ConfirmationStatus {
  /** Failed requests since the last answered one. */
  readonly failures: number;
  /** Answers, since it was made, that were not the audit service's. */
  readonly mistrusted: number;
}

const interval_ms_default = 2000;
const backoff_ms_max = 30_000;
/** An audit service that starts again is no news; one that is away for a minute is. */
const failures_told = 5;

const refilled = lazyCounter(metricNames.events_refilled, 'Events to be published again, by source');
const refused = lazyCounter(
  metricNames.confirmations_refused,
  "Answers about what is recorded that are not the audit service's, by source",
);
const missing = lazyCounter(
  metricNames.events_unavailable,
  'Events asked for again and not there, by source',
);

/**
 * Asks the audit service how far a producer's events are recorded, and lets go of those that are:
 *
 *   ask (what is kept, what is unavailable) -> confirm up to the watermark -> mark what is missing to be published again
 *
 * A producer keeps its events until then, whatever the broker said: JetStream may lose what it has acknowledged. While
 * nobody answers everything is kept, and it asks ever more seldom, up to 30 s apart. An answer that is not the audit
 * service's is none: it is counted and told of.
 */
export class ConfirmationLoop {
  private readonly loop = new BackgroundLoop(async (signal) => await this.run(signal));
  private readonly wanted = new Wake();
  private readonly unavailable = new UnavailableRanges();
  /** Where the next request begins among more incarnations than fit into one. */
  private turn = 0;
  private failed = 0;
  /** A false answer was told of and none has been good since. */
  private isMistrusted = false;
  private mistrusted = 0;
  /** The last answer asked for events that are there: the next part is asked for as soon as these have come. */
  private refilling = false;

  constructor(
    private readonly kept: KeptEvents,
    private readonly ask: AskWatermark,
    private readonly options: ConfirmationOptions,
  ) {}

  start(): void {
    this.loop.start();
  }

  /** Does not wait for an answer; finishes what an answer asks for. */
  async stop(): Promise<void> {
    await this.loop.stop();
  }

  /** The audit service may be reachable again: ends a pause. */
  wake(): void {
    this.wanted.call();
  }

  status(): ConfirmationStatus {
    return { failures: this.failed, mistrusted: this.mistrusted };
  }

  private async run(signal: AbortSignal): Promise<void> {
    const { clock, logger, source, intervalMs = interval_ms_default } = this.options;
    while (!signal.aborted) {
      try {
        await this.pass(signal);
        if (this.failed >= failures_told || this.isMistrusted)
          logger.info({ source }, 'events are confirmed again');
        this.failed = 0;
        this.isMistrusted = false;
      } catch (error) {
        this.failed += 1;
        if (error instanceof UntrustedAnswer) this.mistrust(error);
        if (this.failed === failures_told)
          logger.warn(
            { err: error, source },
            'events are not confirmed: they are kept until the audit service answers',
          );
      }
      await this.wanted.wait(clock, this.pauseMs(intervalMs), signal);
    }
  }

  /** Counted each time, told of once until an answer is good: whoever gives false ones may give many. */
  private mistrust(error: UntrustedAnswer): void {
    const { source, logger } = this.options;
    refused.add(1, { source });
    this.mistrusted += 1;
    if (this.isMistrusted) return;
    this.isMistrusted = true;
    logger.error(
      { err: error, source },
      'an answer about what is recorded is not signed by the audit service: nothing is deleted by it',
    );
  }

  private pauseMs(interval_ms: number): number {
    if (this.failed === 0) return this.refilling ? interval_ms / 4 : interval_ms;
    const ceiling_ms = Math.max(
      interval_ms,
      Math.min(interval_ms * 2 ** Math.min(this.failed - 1, 10), backoff_ms_max),
    );
    return ceiling_ms * (0.5 + Math.random() / 2);
  }

  private async pass(signal: AbortSignal): Promise<void> {
    this.refilling = false;
    const asked = this.next(await this.kept.incarnations());
    if (asked.length === 0) return;
    const question: WatermarkQuestion = {
      source: this.options.source,
      incarnations: asked.map(({ incarnation, last }) => ({
        incarnation,
        last,
        unavailable: this.unavailable.of(incarnation),
      })),
    };
    const answer = await unlessAborted(this.ask(question), signal);
    if (answer === null) return;
    for (const { incarnation, last } of asked) {
      const found = answer.incarnations.find((it) => it.incarnation === incarnation);
      if (found !== undefined) await this.settle(found, last);
    }
  }

  /** In turn, where there are more than one request takes: those that wait for something must not hold up the others. */
  private next(kept: readonly KeptIncarnation[]): readonly KeptIncarnation[] {
    this.unavailable.keepOnly(kept.map(({ incarnation }) => incarnation));
    const { incarnations_max } = watermarkLimits;
    if (kept.length <= incarnations_max) return kept;
    const from = this.turn % kept.length;
    this.turn = from + incarnations_max;
    return [...kept.slice(from), ...kept.slice(0, from)].slice(0, incarnations_max);
  }

  private async settle(
    { incarnation, upTo, missing: ranges }: WatermarkAnswer['incarnations'][number],
    last: number,
  ): Promise<void> {
    await this.kept.confirm(incarnation, upTo);
    this.unavailable.passed(incarnation, upTo);
    // What has not been published yet cannot be missing.
    const wanted = ranges
      .filter(([from]) => from <= last)
      .map(([from, to]): SequenceRange => [from, Math.min(to, last)]);
    if (wanted.length === 0) return;
    const there = await this.kept.again(incarnation, wanted);
    const gone = without(wanted, there);
    this.unavailable.add(incarnation, gone);
    this.refilling ||= there.length > 0;
    const { source, logger } = this.options;
    const lost = gone.reduce((sum, [from, to]) => sum + to - from + 1, 0);
    logger.warn(
      { source, incarnation, again: there.length, unavailable: lost },
      'events did not reach the audit log',
    );
    refilled.add(there.length, { source });
    missing.add(lost, { source });
  }
}

/** Null when the signal aborts first. */
async function unlessAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T | null> {
  if (signal.aborted) return null;
  let give: (nothing: null) => void = () => undefined;
  const aborted = new Promise<null>((resolve) => (give = resolve));
  const onAbort = () => give(null);
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    return await Promise.race([work, aborted]);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}

import { CLOCK, type Clock } from '#libs/clock';
import { watermarkLimits } from '#libs/contracts';
import {
  consumerPlace,
  Messaging,
  type ConsumerPlace,
  type WatermarkQuestion,
  type Watermarks,
} from '#libs/messaging';
import { LOGGER, type Logger } from '#libs/telemetry';
import { Inject, Injectable } from '@nestjs/common';
import { EVENTS_CONSUMER, type EventsConsumer } from '../audit.keys.js';
import { GapLedger } from './gap.ledger.js';
import { GapRepository, type Incarnation, type ProducerState } from './gap.repository.js';
import { firstOf, normalised, upToOf, without, type Ranges } from './ranges.js';
import { RefillPlanner, type Progress } from './refill.planner.js';

type Asked = WatermarkQuestion['incarnations'][number];
type Answered = Watermarks['incarnations'][number];
type Place = () => Promise<ConsumerPlace | null>;

const marked_max = 16_384;
const mark_every_ms = 60_000;

/**
 * Tells producers how far their events are recorded, asks for those that are missing, and gives up those that are gone.
 * Whoever asks has been identified.
 */
@Injectable()
export class WatermarkService {
  /** When a producer was last noted to have asked. */
  private readonly marked = new Map<string, number>();

  constructor(
    private readonly repository: GapRepository,
    private readonly ledger: GapLedger,
    private readonly planner: RefillPlanner,
    private readonly messaging: Messaging,
    @Inject(EVENTS_CONSUMER) private readonly consumer: EventsConsumer,
    @Inject(CLOCK) private readonly clock: Clock,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  async answer({ source, incarnations }: WatermarkQuestion): Promise<Watermarks> {
    const ids = [...new Set(incarnations.map(({ incarnation }) => incarnation))];
    const states = await this.repository.states(source, ids);
    await this.mark(source, ids);
    let asked: Promise<ConsumerPlace | null> | null = null;
    const place = async () => await (asked ??= consumerPlace(this.messaging, this.consumer));
    const answers: Answered[] = [];
    for (const one of incarnations) {
      const state = states.get(one.incarnation);
      if (state !== undefined) answers.push(await this.answerOne(source, one, state, place));
    }
    return { incarnations: answers };
  }

  private async answerOne(
    source: string,
    { incarnation, last, unavailable }: Asked,
    before: ProducerState,
    place: Place,
  ): Promise<Answered> {
    const producer: Incarnation = { source, incarnation };
    const key = `${source} ${incarnation}`;
    const progress = { upTo: upToOf(before.received), last, received: before.received };
    const missingUpTo = await this.missingUpTo(key, progress, place);
    const gone = normalised(unavailable);
    const findings = { missingUpTo: missingUpTo ?? 0, unavailable: gone };
    const after = GapLedger.isNews(before, findings) ? await this.ledger.write(producer, findings) : before;
    const missing = missingUpTo === null ? [] : missingOf(after, gone);
    if (missingUpTo !== null) this.planner.asked(key, missing);
    return { incarnation, upTo: upToOf(after.received), missing };
  }

  /** How far it is can be told also when the stream cannot be looked at. */
  private async missingUpTo(key: string, progress: Progress, place: Place): Promise<number | null> {
    try {
      return await this.planner.missingUpTo(key, progress, place);
    } catch (error) {
      this.logger.warn({ err: error, producer: key }, 'the stream of events could not be looked at');
      return null;
    }
  }

  /** To the minute, so that asking does not write each time. */
  private async mark(source: string, incarnations: readonly string[]): Promise<void> {
    const now_ms = this.clock.monotonicMs();
    const due = incarnations.filter((incarnation) => {
      const before_ms = this.marked.get(`${source} ${incarnation}`);
      return before_ms === undefined || now_ms - before_ms >= mark_every_ms;
    });
    if (due.length === 0) return;
    await this.repository.markAsked(source, due, new Date(this.clock.wallMs()));
    for (const incarnation of due) {
      const key = `${source} ${incarnation}`;
      this.marked.delete(key);
      this.marked.set(key, now_ms);
    }
    for (const key of this.marked.keys()) {
      if (this.marked.size <= marked_max) break;
      this.marked.delete(key);
    }
  }
}

/** What of the open gaps is neither recorded nor gone, as much as one answer holds. */
function missingOf({ received, open }: ProducerState, unavailable: Ranges) {
  const ranges = normalised(open.map(({ range }) => range));
  const missing = without(without(ranges, received), unavailable);
  return firstOf(missing, watermarkLimits.ranges_max, watermarkLimits.missing_events_max);
}

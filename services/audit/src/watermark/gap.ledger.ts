import { CLOCK, type Clock } from '#libs/clock';
import { newId, type SequenceRange } from '#libs/contracts';
import { Outbox, TransactionRunner, type NewEvent, type Transaction } from '#libs/persistence';
import { lazyCounter, LOGGER, type Logger } from '#libs/telemetry';
import { Inject, Injectable } from '@nestjs/common';
import {
  GapRepository,
  isCovered,
  lengthOf,
  type GapRow,
  type Incarnation,
  type OpenGap,
  type ProducerState,
} from './gap.repository.js';
import { normalised, upToOf, within, without, type Ranges } from './ranges.js';

/** Gaps of one source that are recorded in an hour; others are found again when it is over. */
const found_an_hour_max = 4096;
const hour_ms = 3_600_000;
/** Gaps that are recorded at once; the others the next time. */
const found_max = 32;
export const silent = 'its producer is silent';
const actor = 'service:audit';

const gapEvents = lazyCounter('tradefleet.audit.gap.events', 'Events of producers in gaps, by outcome');

/** What has become known of one incarnation. */
export interface Findings {
  /** Everything up to here that is not recorded is missing; 0: nothing new. */
  readonly missingUpTo: number;
  /** The producer does not have them any more. */
  readonly unavailable: Ranges;
  readonly detail?: string;
}

interface Entry {
  readonly row: GapRow;
  /** Null where it is not worth one. */
  readonly event: NewEvent | null;
}

/** Writes down what is missing, what came after all and what is lost, each with its event, in one transaction. */
@Injectable()
export class GapLedger {
  constructor(
    private readonly transactions: TransactionRunner,
    private readonly repository: GapRepository,
    private readonly outbox: Outbox,
    @Inject(CLOCK) private readonly clock: Clock,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  /** Whether there is anything to write. */
  static isNews({ received, open }: ProducerState, { missingUpTo, unavailable }: Findings): boolean {
    return (
      missingUpTo > upToOf(received) ||
      open.some((gap) => isCovered(gap, received) || within([gap.range], unavailable).length > 0)
    );
  }

  /** Returns how it is then. */
  async write(producer: Incarnation, findings: Findings): Promise<ProducerState> {
    const at = new Date(this.clock.wallMs());
    const { state, entries } = await this.transactions.run(async (tx) => {
      const before = await this.repository.lock(tx, producer);
      const found = await this.found(tx, producer, before, findings, at);
      const open = [...before.open, ...found.map(({ gap }) => gap)];
      const lost = lostOf(producer, open, before.received, findings.unavailable, at);
      const gone = normalised(lost.map(({ row }) => row.range));
      const received = normalised([...before.received, ...gone]);
      const closed = closedOf(producer, withLost(open, lost), received, at);
      const entries = [...found.map(({ entry }) => entry), ...lost, ...closed];
      if (entries.length > 0) await this.repository.settle(tx, producer, gone, at);
      await this.record(tx, producer, entries, at);
      const state = { received, open: open.filter((gap) => !isCovered(gap, received)) };
      return { state, entries };
    });
    this.tell(producer, entries);
    return state;
  }

  /** Writes down that the producer of these gaps does not ask for them. */
  async silent(producer: Incarnation): Promise<void> {
    const at = new Date(this.clock.wallMs());
    const entries = await this.transactions.run(async (tx) => {
      const { received, open } = await this.repository.lock(tx, producer);
      const highest = received.at(-1)?.[1] ?? 0;
      const unknown = without(
        [[1, Math.max(1, highest)]],
        normalised([...received, ...open.map(({ range }) => range)]),
      ).slice(0, found_max);
      const entries = [
        ...unknown.map((range) => foundEntry(producer, range, silent, at)),
        ...open.map(({ id, range }) => silentEntry(producer, id, range, at)),
      ];
      await this.record(tx, producer, entries, at);
      return entries;
    });
    this.tell(producer, entries);
  }

  private async found(
    tx: Transaction,
    producer: Incarnation,
    { received, open }: ProducerState,
    { missingUpTo, detail }: Findings,
    at: Date,
  ): Promise<{ gap: OpenGap; entry: Entry }[]> {
    const from = upToOf(received) + 1;
    if (missingUpTo < from) return [];
    const known = normalised([...received, ...open.map(({ range }) => range)]);
    const missing = without([[from, missingUpTo]], known);
    if (missing.length === 0) return [];
    const since = new Date(at.getTime() - hour_ms);
    const room = found_an_hour_max - (await this.repository.countFound(tx, producer.source, since));
    const recorded = missing.slice(0, Math.max(0, Math.min(found_max, room)));
    if (recorded.length < missing.length)
      this.logger.warn({ ...producer, gaps: missing.length - recorded.length }, 'gaps not recorded yet');
    return recorded.map((range) => {
      const entry = foundEntry(producer, range, detail ?? null, at);
      return { gap: { id: entry.row.gap, range, lost: 0 }, entry };
    });
  }

  private async record(
    tx: Transaction,
    producer: Incarnation,
    entries: readonly Entry[],
    at: Date,
  ): Promise<void> {
    if (entries.length === 0) return;
    await this.repository.add(
      tx,
      producer,
      entries.map(({ row }) => row),
      at,
    );
    await this.outbox.events(
      tx,
      entries.flatMap(({ event }) => event ?? []),
    );
  }

  private tell(producer: Incarnation, entries: readonly Entry[]): void {
    if (entries.length === 0) return;
    for (const { row } of entries) {
      gapEvents.add(lengthOf(row.range), { outcome: row.outcome });
      const { gap, range, outcome, detail } = row;
      this.logger.warn({ ...producer, gap, range, outcome, detail }, 'gap in the events of a producer');
    }
  }
}

function eventOf(
  what: 'gap-found' | 'gap-refilled' | 'gap-lost',
  { source, incarnation }: Incarnation,
  gap: string,
  [first, last]: SequenceRange,
  events: number,
  detail: string | null,
): NewEvent {
  const data = { gap, source, incarnation, first, last, events, detail };
  return { type: `tradefleet.audit.${what}`, id: gap, actor, data };
}

function foundEntry(producer: Incarnation, range: SequenceRange, detail: string | null, at: Date): Entry {
  const id = newId(at.getTime());
  return {
    row: { id, gap: id, range, outcome: 'found', detail },
    event: eventOf('gap-found', producer, id, range, lengthOf(range), detail),
  };
}

const silentEntry = (producer: Incarnation, gap: string, range: SequenceRange, at: Date): Entry => ({
  row: { id: newId(at.getTime()), gap, range, outcome: 'found', detail: silent },
  event: eventOf('gap-found', producer, gap, range, lengthOf(range), silent),
});

/** Of each gap what is not recorded and never will be. */
function lostOf(
  producer: Incarnation,
  open: readonly OpenGap[],
  received: Ranges,
  unavailable: Ranges,
  at: Date,
): Entry[] {
  const gone = without(unavailable, received);
  return open.flatMap(({ id, range }) =>
    within([range], gone).map((lost) => ({
      row: { id: newId(at.getTime()), gap: id, range: lost, outcome: 'lost', detail: null },
      event: eventOf(
        'gap-lost',
        producer,
        id,
        lost,
        lengthOf(lost),
        'its producer does not have them any more',
      ),
    })),
  );
}

const withLost = (open: readonly OpenGap[], entries: readonly Entry[]): OpenGap[] =>
  open.map((gap) => ({
    ...gap,
    lost: entries
      .filter(({ row }) => row.gap === gap.id)
      .reduce((sum, { row }) => sum + lengthOf(row.range), gap.lost),
  }));

/** The gaps that are closed by what came; one that was lost altogether is closed by that. */
function closedOf(producer: Incarnation, open: readonly OpenGap[], received: Ranges, at: Date): Entry[] {
  return open
    .filter((gap) => isCovered(gap, received) && gap.lost < lengthOf(gap.range))
    .map(({ id, range, lost }) => {
      const came = lengthOf(range) - lost;
      const detail = lost === 0 ? null : `${lost} of ${lengthOf(range)} are lost`;
      return {
        row: { id: newId(at.getTime()), gap: id, range, outcome: 'refilled', detail },
        event: eventOf('gap-refilled', producer, id, range, came, detail),
      };
    });
}

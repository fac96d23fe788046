import { Wake, type Clock } from '#libs/clock';
import {
  Actor,
  eventTypes,
  newId,
  subjects,
  type EventData,
  type EventTypeName,
  type SequenceRange,
} from '#libs/contracts';
import type { KeptEvents, KeptIncarnation } from '#libs/messaging';
import { integer, text, textOrNull } from './row.js';
import type { SqliteFile } from './sqlite.file.js';

export interface RecordedEvent<T extends EventTypeName = EventTypeName> {
  readonly type: T;
  /** Id of the entity the event is about. */
  readonly subjectId: string;
  readonly data: EventData<T>;
  /** Who asked for what led to it. */
  readonly actor: string;
  readonly traceparent: string | null;
}

export interface SpooledEvent {
  readonly position: number;
  readonly incarnation: string;
  readonly sequence: number;
  readonly id: string;
  readonly type: EventTypeName;
  readonly subjectId: string;
  readonly actor: string;
  readonly traceparent: string | null;
  readonly time: string;
  readonly data: unknown;
  /** How often it was marked to be published again. */
  readonly refills: number;
}

/** The file the spool's tables are in; events are written in the commits that change what they tell of. */
export type SpoolDatabase = Pick<SqliteFile, 'all' | 'one' | 'change' | 'commit'>;

export interface SpoolOptions {
  /** Of this start of the producer: its events are numbered from 1 in it. */
  readonly incarnation: string;
  /** Events that may be kept before new work is refused. What lives already may still report: it is bounded too. */
  readonly events_max: number;
}

/** Rows that one commit deletes; the process stands still meanwhile. */
const confirm_rows_max = 1000;
/** Far more than there are starts while an audit service is away; the oldest come first. */
const incarnations_max = 1024;
/** One that is to be published again has been published before. */
const isKept = '(spool.published = 1 OR spool.refills > 0)';

/**
 * What happened here, on its way to the audit log:
 *
 *   appended -> published (the broker has it) -> confirmed (the audit service has it): deleted
 *                   ^________ to be published again: it did not reach the audit log
 *
 * An event is written in the commit that changes the state it tells of, and numbered there, without gaps, within this
 * start of its producer. Several starts may have events in it.
 */
export class EventSpool implements KeptEvents {
  /** Called with every event to be published, for whoever publishes them. */
  readonly news = new Wake();
  #waiting = 0;
  #kept = 0;

  constructor(
    private readonly db: SpoolDatabase,
    private readonly clock: Clock,
    private readonly options: SpoolOptions,
  ) {
    this.#count();
  }

  /** Events not yet with the broker. */
  get waiting(): number {
    return this.#waiting;
  }

  /** All events in it. */
  get kept(): number {
    return this.#kept;
  }

  /** Whether new work may be taken on. */
  get hasRoom(): boolean {
    return this.#kept < this.options.events_max;
  }

  /**
   * Inside a commit. Throws when the data does not fit the catalogue: a defect.
   * @param wall_ms when it happened, where that is not now
   */
  append<T extends EventTypeName>(event: RecordedEvent<T>, wall_ms = this.clock.wallMs()): void {
    const data = eventTypes[event.type].data.parse(event.data);
    // What could not be encoded later would hold up all that come after it.
    Actor.parse(event.actor);
    subjects.event('check', event.subjectId, 'check');
    const { incarnation } = this.options;
    this.db.change(
      `INSERT INTO incarnations (id, sequence) VALUES (?, 1)
       ON CONFLICT (id) DO UPDATE SET sequence = sequence + 1`,
      incarnation,
    );
    this.db.change(
      `INSERT INTO spool (incarnation, sequence, id, type, subject_id, actor, traceparent, time, data)
       VALUES (?, (SELECT sequence FROM incarnations WHERE id = ?), ?, ?, ?, ?, ?, ?, ?)`,
      incarnation,
      incarnation,
      newId(wall_ms),
      event.type,
      event.subjectId,
      event.actor,
      event.traceparent,
      new Date(wall_ms).toISOString(),
      JSON.stringify(data),
    );
    // Counts one too many when the commit fails; what is published or confirmed next corrects it.
    this.#waiting += 1;
    this.#kept += 1;
    this.news.call();
  }

  /** The next to be published: what is missing in the audit log first, each lot in the order it happened. */
  next(limit: number): SpooledEvent[] {
    return this.db
      .all('SELECT * FROM spool WHERE published = 0 ORDER BY (refills = 0), position LIMIT ?', limit)
      .map((row) => ({
        position: integer(row, 'position'),
        incarnation: text(row, 'incarnation'),
        sequence: integer(row, 'sequence'),
        id: text(row, 'id'),
        type: text(row, 'type') as EventTypeName,
        subjectId: text(row, 'subject_id'),
        actor: text(row, 'actor'),
        traceparent: textOrNull(row, 'traceparent'),
        time: text(row, 'time'),
        data: JSON.parse(text(row, 'data')) as unknown,
        refills: integer(row, 'refills'),
      }));
  }

  /** Inside a commit: they are with the broker. */
  markPublished(events: readonly SpooledEvent[]): void {
    for (const { position, incarnation, sequence } of events) {
      this.db.change('UPDATE spool SET published = 1 WHERE position = ?', position);
      this.db.change(
        'UPDATE incarnations SET published = ? WHERE id = ? AND published < ?',
        sequence,
        incarnation,
        sequence,
      );
    }
    this.#count();
  }

  incarnations(): KeptIncarnation[] {
    return this.db
      .all(
        `SELECT id, published FROM incarnations
          WHERE EXISTS (SELECT 1 FROM spool WHERE spool.incarnation = incarnations.id AND ${isKept})
          ORDER BY id LIMIT ?`,
        incarnations_max,
      )
      .map((row) => ({ incarnation: text(row, 'id'), last: integer(row, 'published') }));
  }

  async confirm(incarnation: string, upTo: number): Promise<void> {
    let deleted: number;
    do {
      deleted = await this.db.commit(() => {
        const rows = this.db.change(
          `DELETE FROM spool WHERE position IN (
             SELECT position FROM spool WHERE incarnation = ? AND sequence <= ? AND ${isKept}
              ORDER BY sequence LIMIT ?)`,
          incarnation,
          upTo,
          confirm_rows_max,
        );
        this.db.change(
          `DELETE FROM incarnations WHERE id <> ?
             AND NOT EXISTS (SELECT 1 FROM spool WHERE spool.incarnation = incarnations.id)`,
          this.options.incarnation,
        );
        return rows;
      });
    } while (deleted === confirm_rows_max);
    this.#count();
  }

  async again(incarnation: string, ranges: readonly SequenceRange[]): Promise<number[]> {
    const there = await this.db.commit(() =>
      ranges.flatMap(([from, to]) => {
        this.db.change(
          `UPDATE spool SET published = 0, refills = refills + 1
            WHERE incarnation = ? AND published = 1 AND sequence BETWEEN ? AND ?`,
          incarnation,
          from,
          to,
        );
        return this.db.all(
          'SELECT sequence FROM spool WHERE incarnation = ? AND sequence BETWEEN ? AND ?',
          incarnation,
          from,
          to,
        );
      }),
    );
    this.#count();
    this.news.call();
    return there.map((row) => integer(row, 'sequence')).toSorted((a, b) => a - b);
  }

  #count(): void {
    const row = this.db.one(
      'SELECT (SELECT count(*) FROM spool WHERE published = 0) AS waiting, (SELECT count(*) FROM spool) AS kept',
    );
    this.#waiting = Number(row?.['waiting'] ?? 0);
    this.#kept = Number(row?.['kept'] ?? 0);
  }
}

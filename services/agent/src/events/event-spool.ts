import { Inject, Injectable } from '@nestjs/common';
import { CLOCK, type Clock, Wake } from '#libs/clock';
import { Actor, eventTypes, newId, subjects, type EventData, type EventTypeName } from '#libs/contracts';
import { AgentDatabase } from '../state/agent.database.js';
import { integer, text, textOrNull } from '../state/row.js';

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
}

export interface SpoolOptions {
  readonly incarnation: string;
  /** Events that may wait before new work is refused. What lives already may still report: it is bounded too. */
  readonly events_max: number;
}
export const SPOOL_OPTIONS = Symbol('SpoolOptions');

/**
 * What happened on this host, on its way to the broker. An event is written in the commit that changes the state it
 * tells of, and numbered there, without gaps, within this start of the agent.
 */
@Injectable()
export class EventSpool {
  /** Called with every event, for whoever publishes them. */
  readonly news = new Wake();
  #waiting: number;

  constructor(
    private readonly db: AgentDatabase,
    @Inject(CLOCK) private readonly clock: Clock,
    @Inject(SPOOL_OPTIONS) private readonly options: SpoolOptions,
  ) {
    this.#waiting = this.#count();
  }

  /** Events not yet with the broker. */
  get waiting(): number {
    return this.#waiting;
  }

  /** Whether new work may be taken on. */
  get hasRoom(): boolean {
    return this.#waiting < this.options.events_max;
  }

  /** Inside a commit. Throws when the data does not fit the catalogue: a defect. */
  append<T extends EventTypeName>(event: RecordedEvent<T>): void {
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
    const wall_ms = this.clock.wallMs();
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
    // Counts one too many when the commit fails; the publisher corrects it.
    this.#waiting += 1;
    this.news.call();
  }

  /** The oldest ones, in the order they happened. */
  oldest(limit: number): SpooledEvent[] {
    return this.db.all('SELECT * FROM spool ORDER BY position LIMIT ?', limit).map((row) => ({
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
    }));
  }

  /** Inside a commit: they are with the broker. */
  remove(positions: readonly number[]): void {
    for (const position of positions) this.db.change('DELETE FROM spool WHERE position = ?', position);
    this.db.change(
      'DELETE FROM incarnations WHERE id <> ? AND id NOT IN (SELECT DISTINCT incarnation FROM spool)',
      this.options.incarnation,
    );
    this.#waiting = this.#count();
  }

  #count(): number {
    return Number(this.db.one('SELECT count(*) AS waiting FROM spool')?.['waiting'] ?? 0);
  }
}

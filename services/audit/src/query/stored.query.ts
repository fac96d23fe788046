import type { EventFilter } from '#libs/contracts';
import type { Cursor } from './cursor.js';

/** A filter as the log can be asked it. */
export type StoredFilter = Omit<EventFilter, 'actor'> & {
  /** One of these, as the log names them; a person may have several names there. */
  readonly actors?: readonly string[];
  /** Records that hold something of one of these persons, by the ids that the log has for them. */
  readonly subjects?: readonly string[];
};

/** An event as the log has it. */
export interface EventRow {
  readonly id: string;
  /** Decimal, as `sequence`: Postgres gives a bigint as text. */
  readonly position: string;
  readonly source: string;
  readonly incarnation: string;
  readonly sequence: string;
  readonly type: string;
  readonly entity: string;
  readonly entity_id: string;
  readonly severity: 'info' | 'notice' | 'warning' | 'critical';
  readonly actor: string;
  readonly subject_id: string | null;
  readonly time: Date;
  readonly traceparent: string | null;
  readonly data: Record<string, unknown>;
}

/** Which of the pages, in which order. */
export interface Pages {
  /** Null for the first page. */
  readonly after: Cursor | null;
  readonly order: 'asc' | 'desc';
}

import { eventTypes, isEventType } from '#libs/contracts';
import { LOGGER, type Logger } from '#libs/telemetry';
import { Inject, Injectable } from '@nestjs/common';
import { isSealed, openText, placeIn } from './sealed.value.js';
import { Unreadable } from './subject.key.js';
import { SubjectKeys, type KnownSubject } from './subject.keys.js';
import { subjectActor } from './subject.names.js';

/** What of a row is needed to open it. */
export interface Openable {
  readonly id: string;
  readonly type: string;
  readonly actor: string;
  readonly subject_id: string | null;
  readonly data: Record<string, unknown>;
}

/** Shown for what was erased. */
export const erasedText = (subjectId: string): string => `erased:${subjectId}`;
/** Shown for what does not open although its key is there: somebody has changed it. */
export const unreadableText = (subjectId: string): string => `unreadable:${subjectId}`;

/** Makes the personal values of recorded events readable to those who may read the log. */
@Injectable()
export class EventOpener {
  constructor(
    private readonly keys: SubjectKeys,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  /** In the order of the rows, one for each; by one query for all of them, and none where nothing is sealed. */
  async open<T extends Openable>(rows: readonly T[]): Promise<readonly T[]> {
    const ids = new Set(rows.flatMap(({ subject_id }) => subject_id ?? []));
    if (ids.size === 0) return rows;
    const subjects = await this.keys.ofIds(ids);
    return rows.map((row) =>
      row.subject_id === null ? row : this.openOne(row, row.subject_id, subjects.get(row.subject_id)),
    );
  }

  private openOne<T extends Openable>(row: T, id: string, subject: KnownSubject | null | undefined): T {
    const name = subject == null ? missing(id, subject) : subject.name;
    const actor = row.actor === subjectActor(id) ? name : row.actor;
    const marked = isEventType(row.type) ? eventTypes[row.type].personal : [];
    const values = marked
      .filter((field) => isSealed(row.data[field]))
      .map((field): [string, unknown] => [field, this.value(row, id, field, subject)]);
    return values.length === 0
      ? { ...row, actor }
      : { ...row, actor, data: { ...row.data, ...Object.fromEntries(values) } };
  }

  private value(row: Openable, id: string, field: string, subject: KnownSubject | null | undefined): unknown {
    const sealed = row.data[field];
    if (subject == null) return missing(id, subject);
    try {
      const text = openText(subject.key, String(sealed), placeIn(row.id, field));
      return text === null ? sealed : (JSON.parse(text) as unknown);
    } catch (error) {
      if (!(error instanceof Unreadable)) throw error;
      this.logger.error({ event: row.id, field }, 'a sealed value of the log does not open');
      return unreadableText(id);
    }
  }
}

const missing = (id: string, subject: null | undefined): string =>
  subject === undefined ? erasedText(id) : unreadableText(id);

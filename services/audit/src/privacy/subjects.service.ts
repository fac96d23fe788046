import {
  ProblemError,
  type SubjectErase,
  type SubjectErased,
  type SubjectExport,
  type SubjectExported,
} from '#libs/contracts';
import { CLOCK, type Clock } from '#libs/clock';
import { Outbox, OutboxRelay, TransactionRunner } from '#libs/persistence';
import { Inject, Injectable } from '@nestjs/common';
import { refusalOf } from '../database/sql-states.js';
import { refusal } from '../errors.js';
import { decodeCursor, encodeCursor } from '../query/cursor.js';
import { fitting, toFleetEvent } from '../query/fleet.events.js';
import { People } from '../query/people.js';
import { QueryRepository } from '../query/query.repository.js';
import { SubjectKeys } from './subject.keys.js';
import { SubjectRepository } from './subject.repository.js';

/** Who asked, and within which trace. */
export interface Asker {
  readonly actor: string;
  readonly traceparent?: string | undefined;
}

/** What a person may ask of the log: what it knows of them, and to forget it. */
@Injectable()
export class SubjectsService {
  constructor(
    private readonly keys: SubjectKeys,
    private readonly subjects: SubjectRepository,
    private readonly events: QueryRepository,
    private readonly people: People,
    private readonly transactions: TransactionRunner,
    private readonly outbox: Outbox,
    private readonly relay: OutboxRelay,
    @Inject(CLOCK) private readonly clock: Clock,
  ) {}

  /**
   * Destroys the person's keys, all of them or, when a hold forbids one, none, and takes out what of messages that were put
   * aside may name the person. Throws `subject_not_found`, `legal_hold`.
   */
  async erase(
    { name, subject, reason }: SubjectErase,
    { actor, traceparent }: Asker,
  ): Promise<SubjectErased> {
    const ids = await this.idsOf(name, subject);
    const known = await this.keys.ofIds(new Set(ids));
    try {
      const erased = await this.transactions.run(async (manager) => {
        const done: { subject: string; records: number }[] = [];
        for (const id of ids) {
          const records = await this.subjects.erase(manager, id);
          if (records === null) throw refusal.subjectNotFound();
          // Of a row that was changed the name cannot be read: what it may stand in goes by age.
          const called = name ?? known.get(id)?.name;
          if (called !== undefined) await this.subjects.redactQuarantine(manager, id, called);
          const data = { subject: id, records, reason };
          const type = 'tradefleet.audit.subject-erased';
          await this.outbox.event(manager, { type, id, data, actor, traceparent });
          done.push({ subject: id, records });
        }
        return done;
      });
      for (const id of ids) this.keys.forget(id);
      this.relay.wake();
      return { subjects: erased, erasedAt: new Date(this.clock.wallMs()).toISOString() };
    } catch (error) {
      throw error instanceof ProblemError ? error : refusalOf(error);
    }
  }

  /** A page of what is known of the person. The first page is itself an event. Throws `subject_not_found`. */
  async export(
    { name, subject, limit, after }: SubjectExport,
    { actor, traceparent }: Asker,
  ): Promise<SubjectExported> {
    const ids = await this.idsOf(name, subject);
    const place = after === undefined ? null : decodeCursor(after);
    const { rows, size } = await this.events.find(
      { subjects: ids },
      { after: place, order: 'asc' },
      limit + 1,
    );
    const shown = await this.people.open(rows.slice(0, limit));
    const events = fitting(shown.map(toFleetEvent));
    const last = events.at(-1);
    const isEnd = last === undefined || events.length === rows.length;
    if (place === null) await this.tellExport(ids, { actor, traceparent });
    return { subjects: ids, events, next: isEnd ? null : encodeCursor({ ...last, size }) };
  }

  /** Throws `subject_not_found` for somebody whom nothing is known of, or who was erased. */
  private async idsOf(name: string | undefined, subject: string | undefined): Promise<string[]> {
    const ids =
      name === undefined
        ? (await this.subjects.byIds(subject === undefined ? [] : [subject])).map(({ id }) => id)
        : await this.keys.find(name);
    if (ids.length === 0) throw refusal.subjectNotFound();
    return ids;
  }

  private async tellExport(ids: readonly string[], { actor, traceparent }: Asker): Promise<void> {
    const type = 'tradefleet.audit.subject-exported';
    await this.transactions.run(
      async (manager) =>
        await this.outbox.events(
          manager,
          ids.map((id) => ({ type, id, data: { subject: id }, actor, traceparent })),
        ),
    );
    this.relay.wake();
  }
}

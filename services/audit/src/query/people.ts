import type { EventFilter } from '#libs/contracts';
import { Injectable } from '@nestjs/common';
import { EventOpener } from '../privacy/event.opener.js';
import { SubjectKeys } from '../privacy/subject.keys.js';
import { isPerson, subjectActor } from '../privacy/subject.names.js';
import type { EventRow, StoredFilter } from './stored.query.js';

/** Between the names people go by and what the log has for them. */
@Injectable()
export class People {
  constructor(
    private readonly keys: SubjectKeys,
    private readonly opener: EventOpener,
  ) {}

  /** The filter as it is asked of the log; null when the log has never heard of the person. */
  async stored({ actor, ...filter }: EventFilter): Promise<StoredFilter | null> {
    if (actor === undefined) return filter;
    // An answer shows somebody who was erased as `erased:<id>`: that is to find the same records.
    if (/^(erased|unreadable):/.test(actor))
      return { ...filter, actors: [subjectActor(actor.slice(actor.indexOf(':') + 1))] };
    if (!isPerson(actor)) return { ...filter, actors: [actor] };
    const actors = (await this.keys.find(actor)).map(subjectActor);
    return actors.length === 0 ? null : { ...filter, actors };
  }

  /** Rows with their sealed values opened, in the same order. */
  async open(rows: readonly EventRow[]): Promise<readonly EventRow[]> {
    return await this.opener.open(rows);
  }
}

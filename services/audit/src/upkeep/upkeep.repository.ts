import type { Transaction } from '#libs/persistence';
import { Injectable } from '@nestjs/common';

/** Takes away what is not kept any longer, as the writer. */
@Injectable()
export class UpkeepRepository {
  /** Deletes up to so many messages that were put aside long enough ago and that nothing holds. How many. */
  async pruneQuarantine(tx: Transaction, limit: number): Promise<number> {
    const [row] = await tx.query<{ messages: string }[]>('SELECT audit.prune_quarantine($1) AS messages', [
      limit,
    ]);
    return Number(row?.messages ?? 0);
  }

  /**
   * Forgets up to so many incarnations of which everything is settled from the first number on, that nobody has heard of or
   * asked for since then, that have no open gap, and whose source has a newer one. How many.
   */
  async pruneProducers(tx: Transaction, since: Date, limit: number): Promise<number> {
    const rows = await tx.query<object[]>(pruneProducers, [since, limit]);
    return rows.length;
  }
}

/** The row is looked at again when it is locked: one that has come to life meanwhile stays. */
const pruneProducers = `
  WITH over AS (
    SELECT source, incarnation FROM audit_work.producers AS old
     WHERE changed_at < $1 AND (asked_at IS NULL OR asked_at < $1)
       AND lower(received) = 1 AND (SELECT count(*) FROM unnest(received)) = 1
       AND EXISTS (SELECT FROM audit_work.producers AS newer
                    WHERE newer.source = old.source AND newer.incarnation > old.incarnation)
       AND NOT EXISTS (
             SELECT FROM audit.gaps AS found
              WHERE found.source = old.source AND found.incarnation = old.incarnation AND found.id = found.gap
                AND NOT EXISTS (SELECT FROM audit.gaps AS closing
                                 WHERE closing.gap = found.id AND closing.outcome <> 'found'))
     ORDER BY changed_at LIMIT $2 FOR UPDATE SKIP LOCKED
  ), gone AS (
    DELETE FROM audit_work.producers USING over
     WHERE producers.source = over.source AND producers.incarnation = over.incarnation RETURNING 1
  )
  SELECT * FROM gone`;

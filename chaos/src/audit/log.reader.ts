import { withClient } from '#libs/testing';
import type { NumberedEvent } from './producers/event.producer.js';

export interface LogFigures {
  /** Records that the head says there are, and those there are. */
  readonly size: number;
  readonly records: number;
  /** Positions below the size that have no record, or several. */
  readonly misplaced: number;
  readonly quarantined: number;
  readonly gapsFound: number;
  readonly gapsRefilled: number;
  readonly gapsLost: number;
  readonly gapsOpen: number;
  /** Records that the last signed checkpoint covers. */
  readonly checkpointSize: number;
  /** Events of the audit service itself that it still keeps. */
  readonly ownKept: number;
}

/** Reads the log as the owner of the database, past everything the audit service says of it. */
export class LogReader {
  constructor(private readonly url: () => string) {}

  /** How far the log is; throws while Postgres is away. */
  async size(): Promise<number> {
    const [row] = await this.query<{ size: string }>('SELECT size FROM audit_work.head');
    return Number(row?.size ?? 0);
  }

  /** Hosts whose registration is recorded. */
  async hosts(): Promise<number> {
    const [row] = await this.query<{ n: string }>(
      "SELECT count(DISTINCT entity_id) AS n FROM audit.events WHERE type = 'tradefleet.host.registered'",
    );
    return Number(row?.n ?? 0);
  }

  async figures(): Promise<LogFigures> {
    const [row] = await this.query<Record<keyof LogFigures, string>>(
      `SELECT (SELECT size FROM audit_work.head) AS size,
              (SELECT count(*) FROM audit.events) AS records,
              (SELECT size FROM audit_work.head)
                - (SELECT count(DISTINCT position) FROM audit.events
                    WHERE position < (SELECT size FROM audit_work.head)) AS misplaced,
              (SELECT count(*) FROM audit.quarantine) AS quarantined,
              (SELECT count(*) FROM audit.gaps WHERE outcome = 'found') AS "gapsFound",
              (SELECT count(*) FROM audit.gaps WHERE outcome = 'refilled') AS "gapsRefilled",
              (SELECT count(*) FROM audit.gaps WHERE outcome = 'lost') AS "gapsLost",
              (SELECT count(*) FROM audit.gaps g WHERE outcome = 'found' AND NOT EXISTS (
                SELECT FROM audit.gaps later WHERE later.gap = g.gap AND later.outcome <> 'found')) AS "gapsOpen",
              (SELECT coalesce(max(size), 0) FROM audit.checkpoints) AS "checkpointSize",
              (SELECT count(*) FROM audit_work.outbox WHERE event IS NOT NULL) AS "ownKept"`,
    );
    if (row === undefined) throw new Error('The log has no figures.');
    const entries = Object.entries(row).map(([name, value]) => [name, Number(value)]);
    return Object.fromEntries(entries) as LogFigures;
  }

  /** Every record of a source. */
  async eventsOf(source: string): Promise<NumberedEvent[]> {
    const rows = await this.query<{ id: string; incarnation: string; sequence: string }>(
      'SELECT id, incarnation, sequence FROM audit.events WHERE source = $1',
      [source],
    );
    return rows.map(({ id, incarnation, sequence }) => ({ id, incarnation, sequence: Number(sequence) }));
  }

  async sources(): Promise<string[]> {
    const rows = await this.query<{ source: string }>('SELECT DISTINCT source FROM audit.events');
    return rows.map(({ source }) => source);
  }

  /** Takes a record out of the middle of the log, as nobody but the owner of the database can. */
  async removeOne(): Promise<void> {
    const removed = await this.query(
      `DELETE FROM audit.events
        WHERE position = (SELECT min(position) FROM audit.events
                           WHERE source <> '/audit' AND position >= (SELECT size / 2 FROM audit_work.head))
        RETURNING id`,
    );
    if (removed.length !== 1) throw new Error(`${removed.length} records were removed.`);
  }

  private async query<T extends object>(sql: string, values: readonly unknown[] = []): Promise<T[]> {
    return await withClient(this.url(), async (client) => (await client.query<T>(sql, [...values])).rows);
  }
}

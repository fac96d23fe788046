import { SystemClock } from '#libs/clock';
import { eventHeaders, eventTypes, type LogRecord } from '#libs/contracts';
import {
  decodeEventData,
  header,
  type OutgoingMessage,
  parseBody,
  readEventAttributes,
} from '#libs/messaging';
import { connectDataSource, Outbox } from '#libs/persistence';
import { createLogger } from '#libs/telemetry';
import type { DataSource } from 'typeorm';
import { workSchema } from '../../../services/audit/src/database/roles.js';
import { Committer } from '../../../services/audit/src/ingestion/committer.js';
import { LogRepository } from '../../../services/audit/src/ingestion/log.repository.js';
import { Partitions } from '../../../services/audit/src/ingestion/partitions.js';
import { toLeaf } from '../../../services/audit/src/ingestion/recorded-event.js';
import { QuarantineReports } from '../../../services/audit/src/quarantine/quarantine.reports.js';

const nowhere = { streamSeq: 0, subject: '', headers: {}, bytes: new Uint8Array() };

/**
 * The committer of the audit service in this process, with the service's own role: the same statement, positions, tree and
 * partitions as in operation. What is left out is what comes before it: broker, checks, signatures, sealing.
 */
export class CommitterSide {
  private constructor(
    private readonly dataSource: DataSource,
    private readonly committer: Committer,
    /** Events in a transaction. */
    private readonly batch: number,
  ) {}

  static async connect(writerUrl: string, batch: number): Promise<CommitterSide> {
    const clock = new SystemClock();
    const dataSource = await connectDataSource({
      ...{ url: writerUrl, schema: 'audit', poolMax: 2, applicationName: 'bench-committer' },
    });
    const log = new LogRepository(dataSource);
    const reports = new QuarantineReports(clock, createLogger({ service: 'bench', level: 'error' }));
    const outbox = new Outbox(workSchema, clock);
    return new CommitterSide(
      dataSource,
      new Committer(log, new Partitions(log, clock), reports, outbox, clock),
      batch,
    );
  }

  /** Hashes and commits. Milliseconds from the first record to the last commit. */
  async commit(records: readonly LogRecord[]): Promise<number> {
    const begin_ms = performance.now();
    for (let from = 0; from < records.length; from += this.batch) {
      const part = records.slice(from, from + this.batch);
      const leaves = part.map((record) => toLeaf({ message: nowhere, record }));
      const { added } = await this.committer.commit({ leaves, quarantined: [] });
      if (added !== part.length) throw new Error(`Of ${part.length} events ${added} are new.`);
    }
    return performance.now() - begin_ms;
  }

  async close(): Promise<void> {
    await this.dataSource.destroy();
  }
}

/** What is recorded of a message, unsealed. */
export function recordOf({ subject, headers, body }: OutgoingMessage, recordedAt: string): LogRecord {
  const data = typeof body === 'string' ? body : Buffer.from(body).toString('utf8');
  const attributes = readEventAttributes(headers);
  const { type } = decodeEventData(attributes, { subject, body: parseBody(Buffer.from(data)) });
  const { severity, retention } = eventTypes[type];
  const { traceparent = null, ...others } = attributes;
  return {
    ...{ ...others, v: 1, type, severity, retention, subjectId: null, traceparent, recordedAt },
    ...{ signature: header(headers, eventHeaders.signature) ?? null, data },
  };
}

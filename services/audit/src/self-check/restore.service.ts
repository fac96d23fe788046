import { parseRecordLine, type LogRecord, type LogRestore, type LogRestored } from '#libs/contracts';
import { Outbox, OutboxRelay, TransactionRunner, type Transaction } from '#libs/persistence';
import { hashAt, leafHash, tile_hashes } from '#libs/tlog';
import { Inject, Injectable } from '@nestjs/common';
import { AUDIT_CONFIG, type AuditConfig } from '../audit.config.js';
import { refusal } from '../errors.js';
import { faultOfTheData } from '../ingestion/log.repository.js';
import { Partitions } from '../ingestion/partitions.js';
import { LogReader } from '../log/log.reader.repository.js';
import { LOG_KEY, type LogKey } from '../log/log-key.js';
import { WitnessFiles } from '../log/witness.files.js';
import type { Asker } from '../privacy/subjects.service.js';
import { RestoreRepository, type LostRecord } from './restore.repository.js';

/** SQLSTATE check_violation: of a row that no partition takes, too. */
const noPartition = '23514';

/**
 * Puts records back that the log has lost. It need not be believed where they come from: a record is taken only if its leaf is
 * the one that the witness, or for what that has not seen the tree, has at its position. So nothing can be put in but what was
 * there.
 */
@Injectable()
export class RestoreService {
  private readonly witness: WitnessFiles;

  constructor(
    private readonly repository: RestoreRepository,
    private readonly reader: LogReader,
    private readonly partitions: Partitions,
    private readonly transactions: TransactionRunner,
    private readonly outbox: Outbox,
    private readonly relay: OutboxRelay,
    @Inject(LOG_KEY) key: LogKey,
    @Inject(AUDIT_CONFIG) { witnessDir }: Pick<AuditConfig, 'witnessDir'>,
  ) {
    this.witness = new WitnessFiles(witnessDir, key.origin);
  }

  /** All of them or none. Throws `invalid_request`, `invalid_transition`. */
  async restore({ records }: LogRestore, { actor, traceparent }: Asker): Promise<LogRestored> {
    const given = records.map(({ position, line }, index): LostRecord => {
      const record = recordOf(line);
      if (record === null) throw refusal.notCommitted(index, position);
      return { position, record, leaf: leafHash(line) };
    });
    await this.requireCommitted(given);
    const positions = given.map(({ position }) => position);
    const archived = new Set((await this.reader.archived(positions)).map(({ position }) => position));
    const wanted = given.filter(({ position }) => !archived.has(position));
    await this.makeRoom(wanted);
    const restored = await this.transactions.run(async (tx) => {
      await this.repository.lock(tx);
      const put = await this.insertMissing(tx, wanted);
      const [first] = put;
      if (first !== undefined)
        await this.outbox.event(tx, {
          ...{ type: 'tradefleet.audit.records-restored', id: 'log', actor, traceparent },
          data: { records: put.length, first: Math.min(...put), last: Math.max(...put) },
        });
      return put.length;
    });
    if (restored > 0) this.relay.wake();
    return { restored, present: wanted.length - restored, archived: given.length - wanted.length };
  }

  private async requireCommitted(given: readonly LostRecord[]): Promise<void> {
    const seen = (await this.witness.state()).leaves;
    const { size } = await this.reader.head();
    const read = this.reader.tiles(size);
    for (const [index, { position, leaf }] of given.entries()) {
      const isFinished = position < Math.floor(size / tile_hashes) * tile_hashes;
      const committed =
        position < seen
          ? await this.witness.leaves(position, position + 1)
          : isFinished
            ? hashAt(await read(0, Math.floor(position / tile_hashes)), position % tile_hashes)
            : null;
      if (position >= size || committed?.equals(leaf) !== true) throw refusal.notCommitted(index, position);
    }
  }

  /** The months may be gone with their records. */
  private async makeRoom(records: readonly LostRecord[]): Promise<void> {
    this.partitions.forget();
    for (const { record } of records) {
      try {
        await this.partitions.ensureFor([record.time]);
      } catch (error) {
        // None is made of months as long ago as this one. Whether it is there nevertheless is seen when the record is put back.
        if (faultOfTheData(error) === null) throw error;
      }
    }
  }

  /** Their positions. */
  private async insertMissing(tx: Transaction, records: readonly LostRecord[]): Promise<number[]> {
    const there = await this.repository.leavesAt(
      tx,
      records.map(({ position }) => position),
    );
    const put: number[] = [];
    for (const lost of records) {
      const [leaf] = there.get(lost.position) ?? [];
      if (leaf?.equals(lost.leaf) === true) continue;
      if (leaf !== undefined || !(await this.insert(tx, lost))) throw refusal.occupied(lost.position);
      put.push(lost.position);
    }
    return put;
  }

  private async insert(tx: Transaction, lost: LostRecord): Promise<boolean> {
    try {
      return await this.repository.insert(tx, lost);
    } catch (error) {
      throw faultOfTheData(error) === noPartition ? refusal.noPartition(lost.position, error) : error;
    }
  }
}

function recordOf(line: string): LogRecord | null {
  try {
    return parseRecordLine(line);
  } catch {
    // Whatever it is that cannot be read, it was not committed.
    return null;
  }
}

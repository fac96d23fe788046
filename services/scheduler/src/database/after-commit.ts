import { Inject, Injectable } from '@nestjs/common';
import { LOGGER, type Logger } from '#libs/telemetry';
import { DataSource, type EntitySubscriberInterface, type QueryRunner } from 'typeorm';
import type { Transaction } from '#libs/persistence';

type Work = () => void;

/**
 * Work that must not happen before a transaction has committed, nor when it rolls back: waking those who then read
 * what it wrote. It is lost when the process dies in between, so nothing may depend on it but speed.
 */
@Injectable()
export class AfterCommit implements EntitySubscriberInterface {
  private readonly pending = new WeakMap<QueryRunner, Work[]>();

  constructor(
    dataSource: DataSource,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {
    dataSource.subscribers.push(this);
  }

  /** Runs `work` once the transaction has committed. `work` must be short and not wait. */
  run(tx: Transaction, work: Work): void {
    const runner = tx.queryRunner;
    if (runner?.isTransactionActive !== true)
      throw new Error('AfterCommit.run was called outside of a transaction');
    const works = this.pending.get(runner);
    if (works === undefined) this.pending.set(runner, [work]);
    else works.push(work);
  }

  afterTransactionCommit({ queryRunner }: { queryRunner: QueryRunner }): void {
    if (queryRunner.isTransactionActive) return; // a savepoint
    const works = this.pending.get(queryRunner) ?? [];
    this.pending.delete(queryRunner);
    for (const work of works) {
      try {
        work();
      } catch (error) {
        // The transaction has committed: whoever made it must not be told that it failed.
        this.logger.error({ err: error }, 'work after a commit failed');
      }
    }
  }

  afterTransactionRollback({ queryRunner }: { queryRunner: QueryRunner }): void {
    if (!queryRunner.isTransactionActive) this.pending.delete(queryRunner);
  }
}

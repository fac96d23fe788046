import { connectDataSource } from '#libs/persistence';
import type { OnApplicationShutdown } from '@nestjs/common';
import { QueryFailedError, type DataSource } from 'typeorm';
import type { AuditConfig } from '../audit.config.js';
import { refusal } from '../errors.js';
import { readerOptions } from './prepare-database.js';
import type { Queryable } from './roles.js';

/** The database as the reader's role sees it: for everything that is asked and for nothing that is written. */
export class ReaderDatabase implements OnApplicationShutdown {
  private constructor(private readonly dataSource: DataSource) {}

  static async connect(config: AuditConfig): Promise<ReaderDatabase> {
    return new ReaderDatabase(await connectDataSource(readerOptions(config)));
  }

  readonly query: Queryable['query'] = async (sql, values) => await this.dataSource.query(sql, values);

  /**
   * What `work` reads is of one moment. The database gives up a statement that takes longer than `ms_max`; then this
   * throws `query_too_costly`.
   */
  async bounded<T>(ms_max: number, work: (queryable: Queryable) => Promise<T>): Promise<T> {
    try {
      return await this.dataSource.transaction('REPEATABLE READ', async (manager) => {
        await manager.query(
          `SET TRANSACTION READ ONLY; SET LOCAL statement_timeout = ${ms_max}; ${plannerSettings}`,
        );
        return await work(manager);
      });
    } catch (error) {
      if (isGivenUp(error)) throw refusal.queryTooCostly(error);
      throw error;
    }
  }

  /** After every server has drained. */
  async onApplicationShutdown(): Promise<void> {
    if (this.dataSource.isInitialized) await this.dataSource.destroy();
  }
}

/**
 * Compiling would take longer than most of what is asked here. And where a page costs the same however it is come by, an index
 * that gives rows in the order that is asked for never looks dearer than taking all of the same rows out first and sorting
 * them, however wrong the planner is about their number.
 */
export const plannerSettings = 'SET LOCAL jit = off; SET LOCAL random_page_cost = 1';

/** SQLSTATE 57014, query_canceled: by the statement's timeout. */
const isGivenUp = (error: unknown): boolean =>
  error instanceof QueryFailedError && (error.driverError as { code?: unknown }).code === '57014';

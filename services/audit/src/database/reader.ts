import { connectDataSource } from '#libs/persistence';
import type { OnApplicationShutdown } from '@nestjs/common';
import type { DataSource } from 'typeorm';
import type { AuditConfig } from '../audit.config.js';
import { readerOptions } from './prepare-database.js';
import type { Queryable } from './roles.js';

/** The database as the reader's role sees it: for everything that is asked and for nothing that is written. */
export class ReaderDatabase implements OnApplicationShutdown {
  private constructor(private readonly dataSource: DataSource) {}

  static async connect(config: AuditConfig): Promise<ReaderDatabase> {
    return new ReaderDatabase(await connectDataSource(readerOptions(config)));
  }

  readonly query: Queryable['query'] = async (sql, values) => await this.dataSource.query(sql, values);

  /** After every server has drained. */
  async onApplicationShutdown(): Promise<void> {
    if (this.dataSource.isInitialized) await this.dataSource.destroy();
  }
}

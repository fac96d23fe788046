import { connectDataSource } from '#libs/persistence';
import type { OnApplicationShutdown } from '@nestjs/common';
import type { DataSource, QueryRunner } from 'typeorm';
import type { AuditConfig } from '../audit.config.js';
import { keeperOptions } from './prepare-database.js';
import { requireRole, type Queryable } from './roles.js';

/** The database as the keeper's role sees it: functions that archive and drop what is due. Not every service has it. */
export class KeeperDatabase implements OnApplicationShutdown {
  private constructor(private readonly dataSource: DataSource | null) {}

  static async connect({ keeperDatabaseUrl: url }: AuditConfig): Promise<KeeperDatabase> {
    return new KeeperDatabase(url === undefined ? null : await connectDataSource(keeperOptions(url)));
  }

  get isThere(): boolean {
    return this.dataSource !== null;
  }

  /** Throws `UnsafeRole` when the role may do more than call its functions. */
  async requireSafe(): Promise<void> {
    if (this.dataSource !== null) await requireRole(this.dataSource, 'keeper');
  }

  /**
   * One connection, while nobody else in the fleet archives or drops; null when somebody does. Whoever gets it releases it. Throws
   * when there is no keeper.
   */
  async lock(): Promise<{ readonly keeper: Queryable; release(): Promise<void> } | null> {
    if (this.dataSource === null) throw new Error('There is no connection of the keeper.');
    const runner: QueryRunner = this.dataSource.createQueryRunner();
    const ask = async (name: string): Promise<boolean> => {
      const [row] = (await runner.query(
        `SELECT ${name}(hashtextextended('tradefleet:audit:retention', 0)) AS done`,
      )) as { done: boolean }[];
      return row?.done === true;
    };
    let isMine = false;
    try {
      isMine = await ask('pg_try_advisory_lock');
    } finally {
      if (!isMine) await runner.release();
    }
    if (!isMine) return null;
    return {
      keeper: {
        query: async (sql: string, values?: unknown[]) => (await runner.query(sql, values)) as never,
      },
      release: async () => {
        try {
          await ask('pg_advisory_unlock');
        } finally {
          await runner.release();
        }
      },
    };
  }

  async onApplicationShutdown(): Promise<void> {
    if (this.dataSource?.isInitialized === true) await this.dataSource.destroy();
  }
}

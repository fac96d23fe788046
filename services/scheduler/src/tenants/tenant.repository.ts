import { Injectable } from '@nestjs/common';
import { DataSource, MoreThan } from 'typeorm';
import { TenantEntity } from '../database/entities/index.js';
import type { Transaction } from '#libs/persistence';

@Injectable()
export class TenantRepository {
  constructor(private readonly dataSource: DataSource) {}

  /** False when the name is taken. */
  async insert(tx: Transaction, tenant: { name: string; displayName: string; by: string }): Promise<boolean> {
    const rows: unknown[] = await tx.query(
      `INSERT INTO scheduler.tenants (name, display_name, created_by) VALUES ($1, $2, $3)
       ON CONFLICT DO NOTHING RETURNING name`,
      [tenant.name, tenant.displayName, tenant.by],
    );
    return rows.length > 0;
  }

  async find(name: string, tx?: Transaction): Promise<TenantEntity | null> {
    return await (tx ?? this.dataSource.manager).findOneBy(TenantEntity, { name });
  }

  async page(after: string | undefined, rows_max: number): Promise<TenantEntity[]> {
    return await this.dataSource.manager.find(TenantEntity, {
      ...(after === undefined ? {} : { where: { name: MoreThan(after) } }),
      order: { name: 'ASC' },
      take: rows_max,
    });
  }
}

import type { Quotas, Tenant } from '#libs/contracts';
import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import type { Transaction } from '#libs/persistence';
import { usedByTenant } from './quota.repository.js';

interface TenantRow {
  name: string;
  display_name: string;
  quota_bots: number | null;
  quota_cpu_millis: number | null;
  quota_memory_mib: number | null;
  priority: number;
  generation: number;
  created_at: Date;
  created_by: string;
  used_bots: number;
  used_cpu_millis: number;
  used_memory_mib: number;
}

/** What can be changed of a tenant, whole. */
export interface TenantDefinition {
  readonly displayName: string;
  readonly quotas: Quotas;
  readonly priority: number;
}

const withUsed = `SELECT t.*, u.* FROM scheduler.tenants t CROSS JOIN LATERAL (${usedByTenant('t.name')}) u`;

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

  async find(name: string, tx?: Transaction): Promise<Tenant | null> {
    const rows: TenantRow[] = await (tx ?? this.dataSource.manager).query(`${withUsed} WHERE t.name = $1`, [
      name,
    ]);
    return rows.map(toTenant)[0] ?? null;
  }

  /** Keeps others from changing it, and from starting bots under its quotas, until the transaction ends. */
  async hold(tx: Transaction, name: string): Promise<boolean> {
    const rows: unknown[] = await tx.query(
      'SELECT FROM scheduler.tenants WHERE name = $1 FOR NO KEY UPDATE',
      [name],
    );
    return rows.length > 0;
  }

  /** Writes it, one generation on. */
  async change(tx: Transaction, name: string, to: TenantDefinition): Promise<void> {
    await tx.query(
      `UPDATE scheduler.tenants SET display_name = $2, quota_bots = $3, quota_cpu_millis = $4,
         quota_memory_mib = $5, priority = $6, generation = generation + 1 WHERE name = $1`,
      [name, to.displayName, to.quotas.bots, to.quotas.cpuMillis, to.quotas.memoryMiB, to.priority],
    );
  }

  async page(after: string | undefined, rows_max: number): Promise<Tenant[]> {
    const rows: TenantRow[] = await this.dataSource.query(
      `${withUsed} WHERE ($1::text IS NULL OR t.name > $1) ORDER BY t.name LIMIT $2`,
      [after ?? null, rows_max],
    );
    return rows.map(toTenant);
  }
}

const toTenant = (row: TenantRow): Tenant => ({
  name: row.name,
  displayName: row.display_name,
  quotas: { bots: row.quota_bots, cpuMillis: row.quota_cpu_millis, memoryMiB: row.quota_memory_mib },
  used: { bots: row.used_bots, cpuMillis: row.used_cpu_millis, memoryMiB: row.used_memory_mib },
  priority: row.priority,
  generation: row.generation,
  createdAt: row.created_at.toISOString(),
  createdBy: row.created_by,
});

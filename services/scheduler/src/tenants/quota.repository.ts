import type { Quotas } from '#libs/contracts';
import { Injectable } from '@nestjs/common';
import type { Transaction } from '#libs/persistence';
import { refusal } from '../errors.js';
import { quotaFaults, type Use } from './quota.rule.js';

/** What a tenant's quotas count, as a query: the bots that should run, and what they ask for. */
export const usedByTenant = (tenant: string): string => `
  SELECT count(*)::int AS used_bots,
    coalesce(sum((resources ->> 'cpuMillis')::int), 0)::float8 AS used_cpu_millis,
    coalesce(sum((resources ->> 'memoryMiB')::int), 0)::float8 AS used_memory_mib
  FROM scheduler.bots WHERE tenant = ${tenant} AND desired = 'running'`;

interface QuotaRow {
  readonly tenant: string;
  readonly bots: number | null;
  readonly cpuMillis: number | null;
  readonly memoryMiB: number | null;
}

/** How much more a tenant may run; nobody else can use it up before the transaction ends. */
export class Allowance {
  constructor(
    private readonly tenant: string,
    private readonly quotas: Quotas,
    private readonly used: Use,
  ) {}

  /** Throws `quota_exceeded` when this much more does not fit. */
  require(asked: Use): void {
    const faults = quotaFaults(this.quotas, this.used, asked);
    if (faults.length > 0) throw refusal.quotaExceeded(this.tenant, faults);
  }
}

@Injectable()
export class QuotaRepository {
  /**
   * The allowance of the tenant that has the account or the bot; null when it has no quotas, or when there is none. The
   * tenant is locked first, as the order of locks wants it (tenants, accounts, bots), and only if it has quotas, so
   * that the bots of tenants without them are started side by side. A quota set meanwhile counts from the next
   * request on: this one came before it.
   */
  async hold(tx: Transaction, of: { account: string } | { bot: string }): Promise<Allowance | null> {
    const [table, name] = 'account' in of ? ['accounts', of.account] : ['bots', of.bot];
    const quotas = `SELECT name AS tenant, quota_bots AS bots, quota_cpu_millis AS "cpuMillis",
        quota_memory_mib AS "memoryMiB"
      FROM scheduler.tenants WHERE name = (SELECT tenant FROM scheduler.${table} WHERE name = $1)`;
    const [seen]: QuotaRow[] = await tx.query(quotas, [name]);
    if (seen === undefined || isUnbounded(seen)) return null;
    const [held]: QuotaRow[] = await tx.query(`${quotas} FOR NO KEY UPDATE`, [name]);
    if (held === undefined || isUnbounded(held)) return null;
    // A statement of its own: it sees what those have committed for whom the lock had to wait.
    const [used]: { used_bots: number; used_cpu_millis: number; used_memory_mib: number }[] = await tx.query(
      usedByTenant('$1'),
      [held.tenant],
    );
    if (used === undefined) throw new Error('A count gave no row');
    const { used_bots: bots, used_cpu_millis: cpuMillis, used_memory_mib: memoryMiB } = used;
    return new Allowance(held.tenant, held, { bots, cpuMillis, memoryMiB });
  }
}

const isUnbounded = ({ bots, cpuMillis, memoryMiB }: QuotaRow): boolean =>
  bots === null && cpuMillis === null && memoryMiB === null;

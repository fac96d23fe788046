import type { DesiredState, Manifest } from '#libs/contracts';
import { isUniqueViolation, type Transaction } from '#libs/persistence';
import { Injectable } from '@nestjs/common';
import type { BotDefinition } from '../bots/bot.definition.js';
import { refusal } from '../errors.js';
import { usedByTenant } from '../tenants/quota.repository.js';
import { no_use, type Use } from '../tenants/quota.rule.js';
import type { FleetChange } from './fleet.diff.js';
import type { AccountNow, BotNow, FleetSnapshot, TenantNow } from './fleet.snapshot.js';

type ChangeOf<E extends FleetChange['entity'], A extends FleetChange['action']> = Extract<
  FleetChange,
  { entity: E }
> & { action: A };

interface BotRow extends BotDefinition {
  name: string;
  tenant: string;
  account: string;
  desired: DesiredState;
  generation: number;
  createdAt: string;
}

const byName = <T extends { name: string }>(rows: readonly T[]): Map<string, T> =>
  new Map(rows.map((row) => [row.name, row]));

/** Every digit of the instant, so that two lives of a name never look like one. */
const createdAt = `to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS "createdAt"`;

@Injectable()
export class FleetRepository {
  /**
   * The part of the fleet the manifest is compared with. With `hold` it stays so until the transaction ends: the rows
   * are locked, and a locked tenant lets no account or bot be added to it.
   */
  async snapshot(tx: Transaction, manifest: Manifest, { hold }: { hold: boolean }): Promise<FleetSnapshot> {
    const lock = hold ? 'FOR UPDATE' : '';
    const names = manifest.tenants.map((tenant) => tenant.name);
    const declared = manifest.tenants.flatMap((tenant) => tenant.accounts);
    const wanted = manifest.tenants.flatMap((tenant) => tenant.bots);
    const traded = wanted.map((bot) => bot.account);
    const tenants: Omit<TenantNow, 'used'>[] = await tx.query(
      `SELECT name, display_name AS "displayName", generation, ${createdAt}, jsonb_build_object('bots', quota_bots,
         'cpuMillis', quota_cpu_millis, 'memoryMiB', quota_memory_mib) AS quotas
       FROM scheduler.tenants WHERE name = ANY ($1) ORDER BY name ${lock}`,
      [names],
    );
    // A statement of its own: it sees what those have committed for whom the locks had to wait.
    const used = byName<{ name: string } & Use>(
      await tx.query(
        `SELECT t.name, used_bots AS bots, used_cpu_millis AS "cpuMillis", used_memory_mib AS "memoryMiB"
         FROM unnest($1::text[]) AS t (name) CROSS JOIN LATERAL (${usedByTenant('t.name')}) u`,
        [names],
      ),
    );
    const accounts: (Omit<AccountNow, 'login'> & { login: string })[] = await tx.query(
      `SELECT name, tenant, server, login, generation, ${createdAt}
       FROM scheduler.accounts
       WHERE name = ANY ($1)
         OR (server, login) IN (SELECT * FROM unnest($2::text[], $3::bigint[]))
       ORDER BY name ${lock}`,
      [
        [...declared.map((account) => account.name), ...traded],
        declared.map((account) => account.server),
        declared.map((account) => account.login),
      ],
    );
    const bots: BotRow[] = await tx.query(
      `SELECT name, tenant, account, runtime, version, parameters, resources, constraints, policies, desired,
         generation, ${createdAt}
       FROM scheduler.bots
       WHERE name = ANY ($1) OR account = ANY ($2) OR tenant = ANY ($3)
       ORDER BY name ${lock}`,
      [wanted.map((bot) => bot.name), traded, manifest.prune ? names : []],
    );
    return {
      tenants: byName(tenants.map((tenant) => ({ ...tenant, used: used.get(tenant.name) ?? no_use }))),
      accounts: byName(accounts.map((account) => ({ ...account, login: Number(account.login) }))),
      bots: byName<BotNow>(bots),
    };
  }

  /**
   * Writes all changes, a statement for each kind, and gives the bots' generations. What somebody else has made since
   * the snapshot was taken throws `stale_plan`.
   */
  async write(tx: Transaction, changes: readonly FleetChange[], by: string): Promise<Map<string, number>> {
    const of = <E extends FleetChange['entity'], A extends FleetChange['action']>(entity: E, action: A) =>
      changes.filter((c): c is ChangeOf<E, A> => c.entity === entity && c.action === action);
    try {
      await this.makeTenants(tx, of('tenant', 'create'), by);
      await this.changeTenants(tx, of('tenant', 'update'));
      await this.makeAccounts(tx, of('account', 'create'), by);
      const made = await this.makeBots(tx, of('bot', 'create'), by);
      const changed = await this.changeBots(tx, of('bot', 'update'), by);
      const deleted = await this.deleteBots(tx, of('bot', 'delete'), by);
      return new Map([...made, ...changed, ...deleted].map(({ name, generation }) => [name, generation]));
    } catch (error) {
      if (isUniqueViolation(error)) throw refusal.stalePlan();
      throw error;
    }
  }

  private async makeTenants(
    tx: Transaction,
    changes: ChangeOf<'tenant', 'create'>[],
    by: string,
  ): Promise<void> {
    if (changes.length === 0) return;
    await tx.query(
      `INSERT INTO scheduler.tenants (name, display_name, created_by)
       SELECT name, display_name, $3 FROM unnest($1::text[], $2::text[]) AS t (name, display_name)`,
      [changes.map((c) => c.name), changes.map((c) => c.displayName), by],
    );
  }

  private async changeTenants(tx: Transaction, changes: ChangeOf<'tenant', 'update'>[]): Promise<void> {
    if (changes.length === 0) return;
    await tx.query(
      `UPDATE scheduler.tenants t SET display_name = n.display_name, generation = generation + 1
       FROM unnest($1::text[], $2::text[]) AS n (name, display_name) WHERE t.name = n.name`,
      [changes.map((c) => c.name), changes.map((c) => c.displayName)],
    );
  }

  private async makeAccounts(
    tx: Transaction,
    changes: ChangeOf<'account', 'create'>[],
    by: string,
  ): Promise<void> {
    if (changes.length === 0) return;
    await tx.query(
      `INSERT INTO scheduler.accounts (name, tenant, server, login, created_by)
       SELECT name, tenant, server, login, $5
       FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[]) AS t (name, tenant, server, login)`,
      [
        changes.map((c) => c.name),
        changes.map((c) => c.tenant),
        changes.map((c) => c.server),
        changes.map((c) => c.login),
        by,
      ],
    );
  }

  private async makeBots(
    tx: Transaction,
    changes: ChangeOf<'bot', 'create'>[],
    by: string,
  ): Promise<Versioned[]> {
    if (changes.length === 0) return [];
    return await tx.query(
      `INSERT INTO scheduler.bots
         (name, tenant, account, runtime, version, parameters, resources, constraints, policies, desired,
          created_by, changed_by)
       SELECT name, tenant, account, runtime, version, parameters, resources, constraints, policies, desired, $2, $2
       FROM jsonb_to_recordset($1::jsonb) AS t (${botColumns})
       RETURNING name, generation`,
      [JSON.stringify(changes.map((c) => c.bot)), by],
    );
  }

  private async changeBots(
    tx: Transaction,
    changes: ChangeOf<'bot', 'update'>[],
    by: string,
  ): Promise<Versioned[]> {
    if (changes.length === 0) return [];
    const [rows]: [Versioned[], number] = await tx.query(
      `UPDATE scheduler.bots b
       SET version = n.version, parameters = n.parameters, resources = n.resources, constraints = n.constraints,
         policies = n.policies, desired = n.desired, changed_by = $2, generation = b.generation + 1, updated_at = now(),
         failures = 0, retry_at = NULL, recent_failures = '[]', gave_up_at = NULL
       FROM jsonb_to_recordset($1::jsonb) AS n (${botColumns})
       WHERE b.name = n.name
       RETURNING b.name, b.generation`,
      [JSON.stringify(changes.map((c) => c.bot)), by],
    );
    return rows;
  }

  private async deleteBots(
    tx: Transaction,
    changes: ChangeOf<'bot', 'delete'>[],
    by: string,
  ): Promise<Versioned[]> {
    if (changes.length === 0) return [];
    const [rows]: [Versioned[], number] = await tx.query(
      `UPDATE scheduler.bots
       SET desired = 'deleted', changed_by = $2, generation = generation + 1, updated_at = now(), failures = 0,
         retry_at = NULL, recent_failures = '[]', gave_up_at = NULL
       WHERE name = ANY ($1) RETURNING name, generation`,
      [changes.map((c) => c.name), by],
    );
    return rows;
  }
}

interface Versioned {
  readonly name: string;
  readonly generation: number;
}

const botColumns = `name text, tenant text, account text, runtime text, version text, parameters jsonb,
  resources jsonb, constraints jsonb, policies jsonb, desired text`;

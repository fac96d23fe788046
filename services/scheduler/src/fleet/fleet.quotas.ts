import type { Manifest } from '#libs/contracts';
import { refusal } from '../errors.js';
import { no_use, plus, quotaFaults, useOf, type Use } from '../tenants/quota.rule.js';
import type { FleetChange } from './fleet.diff.js';
import type { BotNow, FleetSnapshot } from './fleet.snapshot.js';

/**
 * Throws `quota_exceeded`, with the tenants in the manifest, when the changes would have a tenant run more than it may.
 * What they stop or delete makes room for what they start: all of them are one transaction.
 */
export function checkQuotas(manifest: Manifest, changes: readonly FleetChange[], now: FleetSnapshot): void {
  const asked = new Map<string, Use>();
  for (const change of changes) {
    if (change.entity !== 'bot') continue;
    const { tenant } = change.bot;
    const before = countOf(now.bots.get(change.name));
    const after = change.action === 'delete' ? no_use : countOf(change.bot);
    asked.set(tenant, plus(asked.get(tenant) ?? no_use, plus(after, before, -1)));
  }
  const faults = manifest.tenants.flatMap(({ name }, index) => {
    const tenant = now.tenants.get(name);
    // One that is only made has no quotas.
    if (tenant === undefined) return [];
    return quotaFaults(tenant.quotas, tenant.used, asked.get(name) ?? no_use).map(({ path, message }) => ({
      path: `tenants.${index}.${path}`,
      message: `the tenant '${name}' has a quota: ${message}`,
    }));
  });
  if (faults.length > 0) throw refusal.planConflict('quota_exceeded', faults);
}

/** What a bot counts for: nothing unless it should run. */
const countOf = (bot: Pick<BotNow, 'desired' | 'resources'> | undefined): Use =>
  bot?.desired === 'running' ? useOf(bot.resources) : no_use;

import type { DesiredState, Quotas } from '#libs/contracts';
import type { BotDefinition } from '../bots/bot.definition.js';
import type { Use } from '../tenants/quota.rule.js';

/** What tells one life of an entity from another: a name can be given again, a generation starts again with it. */
interface Version {
  readonly generation: number;
  /** ISO 8601. */
  readonly createdAt: string;
}
export interface TenantNow extends Version {
  readonly name: string;
  readonly displayName: string;
  readonly quotas: Quotas;
  /** What its quotas count, of all of its bots. */
  readonly used: Use;
}
export interface AccountNow extends Version {
  readonly name: string;
  readonly tenant: string;
  readonly server: string;
  readonly login: number;
}
export interface BotNow extends Version, BotDefinition {
  readonly name: string;
  readonly tenant: string;
  readonly account: string;
  readonly desired: DesiredState;
}

/**
 * The part of the fleet a manifest is compared with, by name: what it names, the accounts that hold a broker login it
 * names, the bots of the accounts it names, and with `prune` every bot of its tenants.
 */
export interface FleetSnapshot {
  readonly tenants: ReadonlyMap<string, TenantNow>;
  readonly accounts: ReadonlyMap<string, AccountNow>;
  readonly bots: ReadonlyMap<string, BotNow>;
}

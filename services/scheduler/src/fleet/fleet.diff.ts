import { ProblemError, type ErrorCode, type Manifest, type PlanChange } from '#libs/contracts';
import { definitionOf, type BotDefinition } from '../bots/bot.definition.js';
import { refusal } from '../errors.js';
import { canonicalHash, sameJson } from '../requests/canonical-json.js';
import type { BotNow, FleetSnapshot } from './fleet.snapshot.js';

type ManifestTenant = Manifest['tenants'][number];
type ManifestAccount = ManifestTenant['accounts'][number];
type ManifestBot = ManifestTenant['bots'][number];
type Field = PlanChange['fields'][number];

export interface WantedBot extends BotDefinition {
  readonly name: string;
  readonly tenant: string;
  readonly account: string;
  readonly desired: 'running' | 'stopped';
}

/** One change together with all that is needed to carry it out. */
export type FleetChange = PlanChange &
  (
    | { readonly entity: 'tenant'; readonly displayName: string; readonly generation: number }
    | { readonly entity: 'account'; readonly tenant: string; readonly server: string; readonly login: number }
    | { readonly entity: 'bot'; readonly action: 'create' | 'update'; readonly bot: WantedBot }
    | { readonly entity: 'bot'; readonly action: 'delete'; readonly bot: BotNow }
  );

export interface FleetDiff {
  readonly changes: readonly FleetChange[];
  /** Entities the manifest names that are as it says. */
  readonly unchanged: number;
}

/** Carries what the walk over a manifest finds. */
interface Findings {
  readonly changes: FleetChange[];
  readonly conflicts: { code: ErrorCode; path: string; message: string }[];
  unchanged: number;
}

/**
 * What has to change so that the fleet is as the manifest says. Pure; the order of the changes depends on their
 * names alone: tenants, accounts, bots to make or change, bots to delete.
 *
 * Errors: invalid_request, account_exists, account_in_use, account_not_found, invalid_transition, with the paths.
 */
export function diffFleet(manifest: Manifest, now: FleetSnapshot): FleetDiff {
  const found: Findings = { changes: [], conflicts: [], unchanged: 0 };
  const accountOfLogin = new Map([...now.accounts.values()].map((a) => [`${a.server}\n${a.login}`, a.name]));
  const botOfAccount = new Map([...now.bots.values()].map((b) => [b.account, b]));

  manifest.tenants.forEach((tenant, t) => {
    compareTenant(tenant, now, found);
    tenant.accounts.forEach((account, a) => {
      compareAccount(tenant, account, `tenants.${t}.accounts.${a}`, now, accountOfLogin, found);
    });
    const declared = new Set(tenant.accounts.map((account) => account.name));
    tenant.bots.forEach((bot, b) => {
      const path = `tenants.${t}.bots.${b}`;
      if (accountIsUsable(tenant, bot, declared, path, now, found)) {
        compareBot(tenant, bot, path, now, botOfAccount, found);
      }
    });
  });
  if (manifest.prune) findSurplus(manifest, now, found);
  if (found.conflicts.length > 0) throw conflict(found.conflicts);
  return { changes: found.changes.sort(inOrder), unchanged: found.unchanged };
}

function compareTenant(tenant: ManifestTenant, now: FleetSnapshot, found: Findings): void {
  const current = now.tenants.get(tenant.name);
  const displayName = tenant.displayName ?? current?.displayName ?? tenant.name;
  if (current === undefined) {
    found.changes.push({ ...made('tenant', tenant.name), entity: 'tenant', displayName, generation: 1 });
  } else if (current.displayName !== displayName) {
    found.changes.push({
      action: 'update',
      entity: 'tenant',
      name: tenant.name,
      fields: [{ path: 'displayName', from: current.displayName, to: displayName }],
      restarts: false,
      displayName,
      generation: current.generation + 1,
    });
  } else found.unchanged += 1;
}

/** Whom an account belongs to and how the broker knows it never changes: a bot may be trading it. */
function compareAccount(
  tenant: ManifestTenant,
  account: ManifestAccount,
  path: string,
  now: FleetSnapshot,
  accountOfLogin: ReadonlyMap<string, string>,
  found: Findings,
): void {
  const current = now.accounts.get(account.name);
  if (current === undefined) {
    const holder = accountOfLogin.get(`${account.server}\n${account.login}`);
    if (holder === undefined) {
      const { name, server, login } = account;
      found.changes.push({ ...made('account', name), entity: 'account', tenant: tenant.name, server, login });
    } else {
      const message = `login ${account.login} at '${account.server}' is the account '${holder}'; use that name`;
      found.conflicts.push({ code: 'account_exists', path: `${path}.login`, message });
    }
    return;
  }
  const wanted = { tenant: tenant.name, server: account.server, login: account.login };
  const fields = changed(wanted, { tenant: current.tenant, server: current.server, login: current.login });
  if (fields.length === 0) found.unchanged += 1;
  for (const field of fields) {
    const message = `the ${field.path} of account '${account.name}' is ${JSON.stringify(field.from)} and cannot change; make another account`;
    found.conflicts.push({ code: 'invalid_transition', path: `${path}.${field.path}`, message });
  }
}

function accountIsUsable(
  tenant: ManifestTenant,
  bot: ManifestBot,
  declared: ReadonlySet<string>,
  path: string,
  now: FleetSnapshot,
  found: Findings,
): boolean {
  if (declared.has(bot.account)) return true;
  const account = now.accounts.get(bot.account);
  if (account?.tenant === tenant.name) return true;
  found.conflicts.push(
    account === undefined
      ? {
          code: 'account_not_found',
          path: `${path}.account`,
          message: `no account is named '${bot.account}'; add it to the tenant's accounts`,
        }
      : {
          code: 'invalid_request',
          path: `${path}.account`,
          message: `account '${bot.account}' is the tenant '${account.tenant}'s`,
        },
  );
  return false;
}

function compareBot(
  tenant: ManifestTenant,
  bot: ManifestBot,
  path: string,
  now: FleetSnapshot,
  botOfAccount: ReadonlyMap<string, BotNow>,
  found: Findings,
): void {
  const current = now.bots.get(bot.name);
  const wanted: WantedBot = {
    ...definitionOf({
      ...bot,
      version: bot.version === undefined ? (current?.version ?? null) : bot.version,
    }),
    name: bot.name,
    tenant: tenant.name,
    account: bot.account,
    desired: bot.desired,
  };
  const refuse = (code: ErrorCode, field: string, message: string) =>
    found.conflicts.push({ code, path: `${path}.${field}`, message });

  if (current === undefined) {
    const holder = botOfAccount.get(bot.account);
    if (holder === undefined)
      found.changes.push({ ...made('bot', bot.name), entity: 'bot', action: 'create', bot: wanted });
    else
      refuse(
        'account_in_use',
        'account',
        `account '${bot.account}' has the bot '${holder.name}'; delete it first`,
      );
    return;
  }
  if (current.desired === 'deleted') {
    refuse('invalid_transition', 'name', `bot '${bot.name}' is being deleted; wait until it is gone`);
    return;
  }
  for (const field of ['account', 'tenant', 'runtime'] as const) {
    if (current[field] === wanted[field]) continue;
    const message = `the ${field} of bot '${bot.name}' is '${current[field]}' and cannot change; delete it first, or name another bot`;
    refuse('invalid_transition', field === 'tenant' ? 'name' : field, message);
  }
  const definition = changed(parts(wanted), parts(current));
  const desired = changed({ desired: wanted.desired }, { desired: current.desired });
  if (definition.length + desired.length === 0) found.unchanged += 1;
  else {
    found.changes.push({
      action: 'update',
      entity: 'bot',
      name: bot.name,
      fields: [...definition, ...desired],
      restarts: definition.length > 0 && current.desired === 'running' && wanted.desired === 'running',
      bot: wanted,
    });
  }
}

/** With `prune`, the bots of the manifest's tenants that it does not name. Accounts are never taken away. */
function findSurplus(manifest: Manifest, now: FleetSnapshot, found: Findings): void {
  const tenants = new Set(manifest.tenants.map((tenant) => tenant.name));
  const named = new Set(manifest.tenants.flatMap((tenant) => tenant.bots.map((bot) => bot.name)));
  for (const bot of now.bots.values()) {
    if (!tenants.has(bot.tenant) || named.has(bot.name) || bot.desired === 'deleted') continue;
    found.changes.push({ action: 'delete', entity: 'bot', name: bot.name, fields: [], restarts: false, bot });
  }
}

/** A new entity has no fields to compare: the manifest says what it will be. */
const made = <E extends PlanChange['entity']>(entity: E, name: string) => ({
  action: 'create' as const,
  entity,
  name,
  fields: [],
  restarts: false,
});

const parts = ({ version, parameters, resources, constraints, policies }: BotDefinition) => ({
  version,
  parameters,
  resources,
  constraints,
  policies,
});

/** Fields that differ, as dotted paths in order; lists are compared whole. A field that is not there is null. */
export function changed(wanted: object, current: object, prefix = ''): Field[] {
  const to = new Map<string, unknown>(Object.entries(wanted));
  const from = new Map<string, unknown>(Object.entries(current));
  const fields: Field[] = [];
  for (const key of [...new Set([...from.keys(), ...to.keys()])].sort()) {
    const [a, b] = [from.get(key) ?? null, to.get(key) ?? null];
    const path = prefix + key;
    if (isRecord(a) && isRecord(b)) fields.push(...changed(b, a, `${path}.`));
    else if (!sameJson(a, b)) fields.push({ path, from: a, to: b });
  }
  return fields;
}

const isRecord = (value: unknown): value is object =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const entityRank = { tenant: 0, account: 1, bot: 2 } as const;
const actionRank = { create: 0, update: 0, delete: 1 } as const;

function inOrder(a: FleetChange, b: FleetChange): number {
  return (
    entityRank[a.entity] - entityRank[b.entity] ||
    actionRank[a.action] - actionRank[b.action] ||
    (a.name < b.name ? -1 : 1)
  );
}

/** The first conflict gives the code; those with the same code come along. */
function conflict(conflicts: Findings['conflicts']): ProblemError {
  const [first] = conflicts;
  const code = first?.code ?? 'invalid_request';
  const same = conflicts.filter((c) => c.code === code).map(({ path, message }) => ({ path, message }));
  return refusal.planConflict(code, same);
}

/**
 * The version of a plan: covers the manifest and which life and generation of every entity it was compared with,
 * those that were not there too.
 */
export function planVersion(manifest: Manifest, now: FleetSnapshot): string {
  const named = {
    tenant: manifest.tenants.map((tenant) => tenant.name),
    account: manifest.tenants.flatMap((t) => [
      ...t.accounts.map((a) => a.name),
      ...t.bots.map((b) => b.account),
    ]),
    bot: manifest.tenants.flatMap((tenant) => tenant.bots.map((bot) => bot.name)),
  };
  const found = { tenant: now.tenants, account: now.accounts, bot: now.bots };
  const entities = (['tenant', 'account', 'bot'] as const).flatMap((kind) =>
    [...new Set([...named[kind], ...found[kind].keys()])].sort().map((name) => {
      const entity = found[kind].get(name);
      return [kind, name, entity?.generation ?? null, entity?.createdAt ?? null];
    }),
  );
  return canonicalHash({ manifest, entities });
}

/** A change as it is shown: without what only carrying it out needs. */
export const toPlanChange = ({ action, entity, name, fields, restarts }: FleetChange): PlanChange => ({
  action,
  entity,
  name,
  fields,
  restarts,
});

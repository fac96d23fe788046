import { limits, type Manifest } from '#libs/contracts';
import { refusal } from '../errors.js';

interface Fault {
  readonly path: string;
  readonly message: string;
}

/** Remembers where each key stood first, and reports every later one. */
class Once {
  private readonly first = new Map<string, string>();

  constructor(
    private readonly faults: Fault[],
    private readonly message: (key: string, first: string) => string,
  ) {}

  see(key: string, path: string): void {
    const first = this.first.get(key);
    if (first === undefined) this.first.set(key, path);
    else this.faults.push({ path, message: this.message(key, first) });
  }
}

const twice = (what: string) => (key: string, first: string) => `${what} '${key}' stands at ${first} already`;

/**
 * What can be told of a manifest without looking at the fleet: each name, broker login and account's bot stands once,
 * and a bot's account is not declared under another tenant. Throws `invalid_request` with the paths of all faults.
 */
export function checkManifest(manifest: Manifest): void {
  const faults: Fault[] = [];
  const tenants = new Once(faults, twice('tenant'));
  const accounts = new Once(faults, twice('account'));
  const logins = new Once(faults, twice('login'));
  const bots = new Once(faults, twice('bot'));
  const traded = new Once(faults, (key, first) => `account '${key}' has the bot at ${first} already`);
  const tenantOf = new Map<string, string>();

  manifest.tenants.forEach((tenant, t) => {
    tenants.see(tenant.name, `tenants.${t}.name`);
    tenant.accounts.forEach((account, a) => {
      accounts.see(account.name, `tenants.${t}.accounts.${a}.name`);
      logins.see(`${account.login} at ${account.server}`, `tenants.${t}.accounts.${a}.login`);
      if (!tenantOf.has(account.name)) tenantOf.set(account.name, tenant.name);
    });
  });
  let count = 0;
  manifest.tenants.forEach((tenant, t) => {
    tenant.bots.forEach((bot, b) => {
      const path = `tenants.${t}.bots.${b}`;
      count += 1;
      bots.see(bot.name, `${path}.name`);
      traded.see(bot.account, `${path}.account`);
      const owner = tenantOf.get(bot.account);
      if (owner !== undefined && owner !== tenant.name) {
        faults.push({
          path: `${path}.account`,
          message: `account '${bot.account}' is the tenant '${owner}'s`,
        });
      }
    });
  });
  if (count > limits.manifest_bots_max) {
    faults.unshift({ path: 'tenants', message: `must name at most ${limits.manifest_bots_max} bots in all` });
  }
  if (faults.length > 0) throw refusal.invalid(faults);
}

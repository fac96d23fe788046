import type { Account, ApiParsed, ApiResponse } from '#libs/contracts';
import { Injectable } from '@nestjs/common';
import { refusal } from '../errors.js';
import { OperationTracker } from '../operations/operation.tracker.js';
import type { Asker } from '../requests/asker.js';
import type { Change } from '../requests/change.js';
import { ChangesService } from '../requests/changes.service.js';
import { pageOf } from '../requests/page.js';
import { TenantRepository } from '../tenants/tenant.repository.js';
import { AccountRepository } from './account.repository.js';

type LockRequest = ApiParsed<'accounts.lock'>;

@Injectable()
export class AccountsService {
  constructor(
    private readonly changes: ChangesService,
    private readonly accounts: AccountRepository,
    private readonly tenants: TenantRepository,
    private readonly operations: OperationTracker,
  ) {}

  async create(request: ApiParsed<'accounts.create'>, asker: Asker): Promise<Account> {
    const { name, tenant, server, login } = request;
    return await this.changes.carryOut('accounts.create', request, asker, async (change) => {
      if ((await this.tenants.find(tenant, change.tx)) === null) throw refusal.tenantNotFound(tenant);
      const made = await this.accounts.insert(change.tx, { name, tenant, server, login, by: change.actor });
      if (!made) throw await this.taken(change, name, server, login);
      await change.event('tradefleet.account.created', name, {
        tenant,
        account: name,
        generation: 1,
        reason: null,
      });
      return await this.read(name, change);
    });
  }

  async get({ name }: ApiParsed<'accounts.get'>): Promise<Account> {
    return await this.read(name);
  }

  async list({ tenant, limit, after }: ApiParsed<'accounts.list'>): Promise<ApiResponse<'accounts.list'>> {
    const found = await this.accounts.page({ tenant, after, rows_max: limit + 1 });
    const { rows, next } = pageOf(found, limit, (account) => account.name);
    return { accounts: rows, next };
  }

  /** The reconciler stops the account's bot and places none while it is locked; the bot's desired state stays. */
  async lock(request: LockRequest, asker: Asker): Promise<Account> {
    return await this.changes.carryOut('accounts.lock', request, asker, async (change) => {
      const account = await this.hold(change, request);
      if (account.locked !== null) throw refusal.accountLockedAlready(account.name);
      return await this.setLock(change, account, request.reason, 'lock');
    });
  }

  async unlock(request: LockRequest, asker: Asker): Promise<Account> {
    return await this.changes.carryOut('accounts.unlock', request, asker, async (change) => {
      const account = await this.hold(change, request);
      if (account.locked === null) throw refusal.accountNotLocked(account.name);
      return await this.setLock(change, account, request.reason, 'unlock');
    });
  }

  private async setLock(
    change: Change,
    account: Account,
    reason: string,
    verb: 'lock' | 'unlock',
  ): Promise<Account> {
    const { name, tenant } = account;
    await this.accounts.setLock(change.tx, name, verb === 'lock' ? { reason, by: change.actor } : null);
    const changed = await this.read(name, change);
    await change.event(`tradefleet.account.${verb}ed`, name, {
      tenant,
      account: name,
      generation: changed.generation,
      reason,
    });
    const bots = await this.accounts.botsOf(change.tx, name);
    const targets = bots
      .filter((bot) => bot.desired === 'running')
      .map((bot) => ({
        bot: bot.name,
        generation: bot.generation,
        goal: verb === 'lock' ? ('stopped' as const) : ('running' as const),
      }));
    await this.operations.begin(change.tx, change.asker, `accounts.${verb}`, targets);
    return changed;
  }

  private async hold(change: Change, { name, expectedGeneration }: LockRequest): Promise<Account> {
    const account = await this.accounts.findForUpdate(change.tx, name);
    if (account === null) throw refusal.accountNotFound(name);
    if (expectedGeneration !== undefined && expectedGeneration !== account.generation) {
      throw refusal.staleGeneration('account', name, expectedGeneration, account.generation);
    }
    return account;
  }

  private async read(name: string, change?: Change): Promise<Account> {
    const account = await this.accounts.find(name, change?.tx);
    if (account === null) throw refusal.accountNotFound(name);
    return account;
  }

  private async taken(change: Change, name: string, server: string, login: number): Promise<Error> {
    if ((await this.accounts.find(name, change.tx)) !== null) return refusal.accountNameTaken(name);
    return refusal.accountIdentityTaken(
      server,
      login,
      await this.accounts.nameOfLogin(change.tx, server, login),
    );
  }
}

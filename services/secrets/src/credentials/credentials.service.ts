import { Inject, Injectable } from '@nestjs/common';
import { type ApiResponse, ProblemError, SealedPassword } from '#libs/contracts';
import { Messaging, SealingKey } from '#libs/messaging';
import { OutboxRelay } from '#libs/persistence';
import { SECRETS_ENGINE, type SecretsEngine, type StoredStatus } from '../engines/engine.js';
import { GrantRepository } from '../grants/grant.repository.js';
import { CredentialEvents } from './credential.events.js';

type Status = ApiResponse<'credentials.status'>;

/** Takes passwords in and never gives one out: that is for grants. */
@Injectable()
export class CredentialsService {
  constructor(
    @Inject(SECRETS_ENGINE) private readonly engine: SecretsEngine,
    private readonly sealing: SealingKey,
    private readonly grants: GrantRepository,
    private readonly events: CredentialEvents,
    private readonly relay: OutboxRelay,
    private readonly messaging: Messaging,
  ) {}

  /** Stores a new version unless the password is the present one. Throws account_not_found, invalid_request. */
  async set(account: string, sealed: string, by: string, traceparent: string): Promise<Status> {
    const password = await this.unseal(account, sealed);
    // Asks the owner of accounts; its account_not_found is the answer.
    await this.messaging.call('accounts.get', { name: account });
    const stored = await this.engine.set(account, password, this.events.storing(account, by, traceparent));
    this.relay.wake();
    return this.toStatus(account, stored);
  }

  /** Throws credentials_missing. */
  async status(account: string): Promise<Status> {
    const stored = await this.engine.status(account);
    if (stored === null)
      throw new ProblemError(
        'credentials_missing',
        `Set the password of ${account} first: tradefleet credentials set ${account}.`,
      );
    return this.toStatus(account, stored);
  }

  private async toStatus(account: string, stored: StoredStatus): Promise<Status> {
    return { account, ...stored, lastGrantedAt: await this.grants.lastGrantedAt(account) };
  }

  /** The account is sealed in with the password, so that a sealed one cannot be set for another account. */
  private async unseal(account: string, sealed: string): Promise<string> {
    const bytes = await this.sealing.open(sealed);
    let content: unknown;
    try {
      content = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
    } catch {
      content = undefined; // the cause would quote what was inside
    }
    const parsed = SealedPassword.safeParse(content);
    if (!parsed.success)
      throw new ProblemError(
        'invalid_request',
        'Seal {"account": <name>, "password": <1 to 256 characters>}.',
      );
    if (parsed.data.account !== account)
      throw new ProblemError('invalid_request', 'Seal the password together with the account it is for.');
    return parsed.data.password;
  }
}

import { Inject, Injectable } from '@nestjs/common';
import {
  AllocationCheck,
  AllocationChecked,
  AllocationToken,
  type Credentials,
  type Grant,
  type GrantRequest,
  newId,
  ProblemError,
  runtimes,
  subjects,
} from '#libs/contracts';
import { CLOCK, type Clock } from '#libs/clock';
import { Messaging, seal, verifyToken } from '#libs/messaging';
import { Outbox, OutboxRelay, TransactionRunner } from '#libs/persistence';
import { randomBytes } from 'node:crypto';
import type { z } from 'zod';
import { CredentialEvents } from '../credentials/credential.events.js';
import { SECRETS_ENGINE, type SecretsEngine, type StoredPassword } from '../engines/engine.js';
import { SECRETS_CONFIG, type SecretsConfig } from '../secrets.config.js';
import { GrantRepository } from './grant.repository.js';

/** The host that asks, as its subject says, and within which trace. */
interface Asker {
  readonly actor: string;
  readonly traceparent?: string | undefined;
}

const live_check_timeout_ms = 3000;

/**
 * Gives the credentials of an account to the one host that runs its live allocation:
 *
 *   the token verifies -> it names this host, account, epoch -> the scheduler says the allocation is live now
 *   -> read (or make up) the password -> record grant and event -> seal to the key in the token
 *
 * The host key comes from the signed token, so what is sealed opens on that host only, whoever asked.
 */
@Injectable()
export class GrantsService {
  constructor(
    @Inject(SECRETS_ENGINE) private readonly engine: SecretsEngine,
    @Inject(SECRETS_CONFIG) private readonly config: SecretsConfig,
    @Inject(CLOCK) private readonly clock: Clock,
    private readonly grants: GrantRepository,
    private readonly events: CredentialEvents,
    private readonly transactions: TransactionRunner,
    private readonly outbox: Outbox,
    private readonly relay: OutboxRelay,
    private readonly messaging: Messaging,
  ) {}

  /** Throws bad_signature, grant_refused, credentials_missing, unavailable. */
  async grant(request: GrantRequest, asker: Asker): Promise<Grant> {
    const claims = await this.verifiedClaims(request);
    await this.requireLive(request);
    const stored = await this.password(claims, asker);
    return await this.issue(request, claims, stored, asker);
  }

  private async verifiedClaims(request: GrantRequest): Promise<AllocationToken> {
    const token = await verifyToken(request.token, {
      typ: 'allocation+jwt',
      schema: AllocationToken,
      keys: this.config.schedulerPublicKey,
      now_ms: this.clock.wallMs(),
    });
    const same =
      token.sub === request.allocation &&
      token.host === request.host &&
      token.account === request.account &&
      token.epoch === request.epoch;
    if (!same)
      throw new ProblemError(
        'grant_refused',
        'The token was made for another allocation, host, account or epoch; ask with the one of the start command.',
      );
    return token;
  }

  private async requireLive(request: GrantRequest): Promise<void> {
    const check: z.input<typeof AllocationCheck> = {
      allocation: request.allocation,
      account: request.account,
      host: request.host,
      epoch: request.epoch,
    };
    const answer = AllocationChecked.parse(
      await this.messaging.request(subjects.internal('allocations', 'check'), check, {
        timeoutMs: live_check_timeout_ms,
      }),
    );
    if (!answer.live)
      throw new ProblemError(
        'grant_refused',
        'The allocation is not live under this epoch any more; stop it, nothing will be granted to it.',
      );
  }

  private async password(claims: AllocationToken, { traceparent }: Asker): Promise<StoredPassword> {
    const stored = await this.engine.read(claims.account);
    if (stored !== null) return stored;
    if (runtimes[claims.runtime].credentials === 'generated')
      return this.engine.setIfAbsent(
        claims.account,
        randomBytes(24).toString('base64url'),
        this.events.storing(claims.account, 'service:secrets', traceparent),
      );
    throw new ProblemError(
      'credentials_missing',
      `Set the password of account ${claims.account} (tradefleet credentials set ${claims.account}); the bot starts by itself then.`,
    );
  }

  private async issue(
    request: GrantRequest,
    claims: AllocationToken,
    stored: StoredPassword,
    { actor, traceparent }: Asker,
  ): Promise<Grant> {
    const credentials: Credentials = {
      login: claims.login,
      password: stored.password,
      server: claims.server,
    };
    const sealed = await seal(Buffer.from(JSON.stringify(credentials), 'utf8'), claims.cnf.jwk);
    const expiresAt = new Date(this.clock.wallMs() + this.config.grantTtlMs).toISOString();
    const id = newId();
    await this.transactions.run(async (manager) => {
      const { allocation, account, host, epoch } = request;
      await this.grants.insert(manager, {
        ...{ id, allocation, account, host, epoch, expiresAt },
        credentialVersion: stored.version,
      });
      await this.outbox.event(manager, {
        type: 'tradefleet.grant.issued',
        id,
        data: { grant: id, allocation, account, host, epoch, code: null, expiresAt },
        actor,
        traceparent,
      });
    });
    this.relay.wake();
    return { id, allocation: request.allocation, epoch: request.epoch, expiresAt, sealed };
  }
}

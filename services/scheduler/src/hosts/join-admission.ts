import { CLOCK, type Clock } from '#libs/clock';
import { ProblemError } from '#libs/contracts';
import type { Transaction } from '#libs/persistence';
import { Inject, Injectable } from '@nestjs/common';
import { RUNTIME_SETTINGS, type RuntimeSettings } from '../runtime.settings.js';
import { isTokenOf } from './join-token.js';
import { JoinTokenRepository } from './join-token.repository.js';

const refused = (detail: string): ProblemError => new ProblemError('join_token_invalid', detail);

/** Lets hosts in by their invitations, each once. */
@Injectable()
export class JoinAdmission {
  constructor(
    private readonly tokens: JoinTokenRepository,
    @Inject(CLOCK) private readonly clock: Clock,
    @Inject(RUNTIME_SETTINGS) private readonly settings: RuntimeSettings,
  ) {}

  /** Whether hosts join without an invitation. */
  get isOpen(): boolean {
    return this.settings.hostJoin === 'open';
  }

  /**
   * Uses the host's invitation up, in the transaction that lets it in: of two agents with one token the second finds it
   * used. Throws `join_token_invalid`.
   * @param replaceKey for which of both the invitation must be: a new host, or a new key of a known one
   */
  async admit(
    tx: Transaction,
    host: string,
    token: string | undefined,
    { replaceKey }: { replaceKey: boolean },
  ): Promise<void> {
    if (token === undefined)
      throw refused(`Invite ${host} with hosts.invite and give its agent the token: it came without one.`);
    const invitation = await this.tokens.hold(tx, host);
    if (
      invitation === null ||
      !isTokenOf(invitation.tokenHash, token) ||
      invitation.replaceKey !== replaceKey
    )
      throw refused(
        `Invite ${host} again and give its agent the new token: this one was used, replaced, or never was for it.`,
      );
    const now = new Date(this.clock.wallMs());
    if (invitation.expiresAt <= now)
      throw refused(
        `Invite ${host} again and give its agent the new token: this one ended at ${invitation.expiresAt.toISOString()}.`,
      );
    await this.tokens.use(tx, invitation.id, now);
  }
}

import { CLOCK, type Clock } from '#libs/clock';
import { newId, type ApiParsed, type ApiResponse, type Host } from '#libs/contracts';
import { Inject, Injectable } from '@nestjs/common';
import { refusal } from '../errors.js';
import type { Asker } from '../requests/asker.js';
import type { Change } from '../requests/change.js';
import { ChangesService } from '../requests/changes.service.js';
import { HostRepository } from './host.repository.js';
import { joinTokenHash, newJoinToken } from './join-token.js';
import { JoinTokenRepository } from './join-token.repository.js';

/** Who may be a host: invitations, and the end of hosts that are not needed any more. */
@Injectable()
export class JoiningService {
  constructor(
    private readonly changes: ChangesService,
    private readonly hosts: HostRepository,
    private readonly tokens: JoinTokenRepository,
    @Inject(CLOCK) private readonly clock: Clock,
  ) {}

  /**
   * Makes a token and shows it, once. Under its idempotency key the answer is remembered without the token: what is
   * stored must let nobody join.
   */
  async invite(request: ApiParsed<'hosts.invite'>, asker: Asker): Promise<ApiResponse<'hosts.invite'>> {
    const { name, ttlMs, replaceKey } = request;
    return await this.changes.carryOut(
      'hosts.invite',
      request,
      asker,
      async (change) => {
        const host = await this.hold(change, name);
        if (replaceKey) {
          if (host === null) throw refusal.hostNotFound(name);
          if (!isGone(host)) throw refusal.hostNotGone(name, host.state, host.reserved.bots);
        } else if (host !== null) throw refusal.hostKnown(name);
        const now_ms = this.clock.wallMs();
        const token = newJoinToken();
        const invitation = { id: newId(now_ms), replaceKey, expiresAt: new Date(now_ms + ttlMs) };
        await this.tokens.open(change.tx, name, {
          ...invitation,
          tokenHash: joinTokenHash(token),
          createdAt: new Date(now_ms),
          by: change.actor,
        });
        const expiresAt = invitation.expiresAt.toISOString();
        await change.event('tradefleet.host.invited', name, {
          host: name,
          invitation: invitation.id,
          replaceKey,
          expiresAt,
        });
        return { host: name, token, expiresAt };
      },
      { remembered: (answer) => ({ ...answer, token: null }) },
    );
  }

  /** Takes the host out of the fleet; answers what it was. Its ended allocations stay as history. */
  async remove(request: ApiParsed<'hosts.remove'>, asker: Asker): Promise<Host> {
    const { name, reason = null, expectedGeneration } = request;
    return await this.changes.carryOut('hosts.remove', request, asker, async (change) => {
      const host = await this.hold(change, name);
      if (host === null) throw refusal.hostNotFound(name);
      if (expectedGeneration !== undefined && expectedGeneration !== host.generation)
        throw refusal.staleGeneration('host', name, expectedGeneration, host.generation);
      if (!isGone(host)) throw refusal.hostNotGone(name, host.state, host.reserved.bots);
      await this.tokens.withdraw(change.tx, name);
      await this.hosts.remove(change.tx, name);
      await change.event('tradefleet.host.removed', name, {
        host: name,
        incarnation: host.incarnation,
        reason,
      });
      return host;
    });
  }

  /** As it is now, and stays until the transaction ends. */
  private async hold(change: Change, name: string): Promise<Host | null> {
    return (await this.hosts.hold(change.tx, name)) ? await this.hosts.find(name, change.tx) : null;
  }
}

/** Nothing of it can run or come back: it is down, and its leases were waited for before its allocations ended. */
const isGone = (host: Host): boolean => host.state === 'down' && host.reserved.bots === 0;

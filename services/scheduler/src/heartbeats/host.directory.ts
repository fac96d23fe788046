import { Injectable } from '@nestjs/common';
import type { PublicJwk } from '#libs/contracts';
import { HostRegistrationRepository, type HostIdentity } from './host-registration.repository.js';

/**
 * Keys and incarnations of registered hosts, in the leader's memory. Right without expiry: both change only by a
 * registration with this leader, which ends with `learn`. One that was removed is known here for longer, which gives it
 * no rights: what it says is compared with the database, which has forgotten it.
 */
@Injectable()
export class HostDirectory {
  private readonly known = new Map<string, HostIdentity>();

  constructor(private readonly repository: HostRegistrationRepository) {}

  /** Null for a host that has not registered. */
  async find(host: string): Promise<HostIdentity | null> {
    const cached = this.known.get(host);
    if (cached !== undefined) return cached;
    const found = await this.repository.find(host);
    // A registration that ended meanwhile knows better.
    if (found !== null && !this.known.has(host)) this.known.set(host, found);
    return this.known.get(host) ?? null;
  }

  async signingKey(host: string): Promise<PublicJwk | null> {
    return (await this.find(host))?.signingKey ?? null;
  }

  learn(host: string, identity: HostIdentity): void {
    this.known.set(host, identity);
  }
}

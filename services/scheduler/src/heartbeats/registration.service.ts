import { Inject, Injectable } from '@nestjs/common';
import { CLOCK, type Clock } from '#libs/clock';
import {
  consumers,
  ProblemError,
  type HostRegister,
  type HostRegistered,
  type PublicJwk,
} from '#libs/contracts';
import { Messaging, provision, verifySignature } from '#libs/messaging';
import { Outbox } from '#libs/persistence';
import type { Transaction } from '#libs/persistence';
import { JoinAdmission } from '../hosts/join-admission.js';
import { LeaderTransaction } from '../leadership/leader-transaction.repository.js';
import { ReconcilerSignal } from '../reconciliation/reconciler.signal.js';
import { RUNTIME_SETTINGS, type RuntimeSettings } from '../runtime.settings.js';
import { HostRegistrationRepository, type HostIdentity } from './host-registration.repository.js';
import { HostDirectory } from './host.directory.js';
import { requireSameHost, type HostProof } from './host-proof.js';
import { LeaseTable } from './lease.table.js';

/**
 * Registers hosts. The first registration needs an invitation and binds the name to the key; every later one must be
 * signed with that key, or bring an invitation to replace it. The signature is by the offered key itself, so nobody can
 * offer a key they do not hold.
 */
@Injectable()
export class RegistrationService {
  constructor(
    private readonly repository: HostRegistrationRepository,
    private readonly admission: JoinAdmission,
    private readonly transaction: LeaderTransaction,
    private readonly outbox: Outbox,
    private readonly messaging: Messaging,
    private readonly directory: HostDirectory,
    private readonly leases: LeaseTable,
    private readonly signal: ReconcilerSignal,
    @Inject(CLOCK) private readonly clock: Clock,
    @Inject(RUNTIME_SETTINGS) private readonly settings: RuntimeSettings,
  ) {}

  /**
   * Errors: wrong_host, bad_signature, join_token_invalid, host_key_mismatch, host_superseded, unavailable (from another
   * boot while leases of the earlier one may live). The same registration again changes nothing.
   */
  async register(registration: HostRegister, proof: HostProof): Promise<HostRegistered> {
    requireSameHost(registration.host, proof);
    await verifySignature(proof.bytes, proof.signature, registration.signingKey);
    const { joined, ...identity } = await this.transaction.run(async (tx) => this.write(tx, registration));
    // Its commands are kept for it from now on; an agent may not make its own consumer.
    await provision(this.messaging, { consumers: [consumers.agentCommands(registration.host)] });
    this.directory.learn(registration.host, identity);
    this.leases.registered(registration.host, joined);
    this.signal.wake('a host registered');
    return {
      host: registration.host,
      incarnation: registration.incarnation,
      leaseTtlMs: this.settings.leaseTtlMs,
      heartbeatIntervalMs: this.settings.heartbeatIntervalMs,
    };
  }

  /** Joined: it was not known before. */
  private async write(
    tx: Transaction,
    registration: HostRegister,
  ): Promise<HostIdentity & { joined: boolean }> {
    const { host, incarnation, signingKey } = registration;
    const now = new Date(this.clock.wallMs());
    const before = (await this.repository.lock(tx, host)) ?? (await this.join(tx, registration, now));
    const isNewKey = before !== null && !isSameKey(before.signingKey, signingKey);
    if (before !== null) {
      if (isNewKey) await this.replaceKey(tx, registration);
      if (before.incarnation !== incarnation) {
        await this.requireNoCopy(tx, registration, before);
        await this.follow(tx, host, before.incarnation, incarnation, now);
      }
      await this.repository.update(tx, registration, now);
    }
    if (before?.incarnation !== incarnation || isNewKey) {
      await this.outbox.event(tx, {
        type: 'tradefleet.host.registered',
        id: host,
        actor: `host:${host}`,
        data: { host, incarnation, reason: isNewKey ? 'It was given a new key.' : null, signingKey },
      });
    }
    const bootId = registration.bootId ?? before?.bootId ?? null;
    return { incarnation, signingKey, state: before?.state ?? 'ready', bootId, joined: before === null };
  }

  /**
   * Lets a host in that is not known and binds its name to its key. Gives null, or the host when it has become known
   * meanwhile: by the same registration, sent twice because its answer was late.
   */
  private async join(tx: Transaction, registration: HostRegister, now: Date): Promise<HostIdentity | null> {
    const { host, joinToken, signingKey } = registration;
    try {
      if (!this.admission.isOpen) await this.admission.admit(tx, host, joinToken, { replaceKey: false });
    } catch (error) {
      if (!(error instanceof ProblemError)) throw error;
      const known = await this.repository.lock(tx, host);
      if (known !== null && isSameKey(known.signingKey, signingKey)) return known;
      throw error;
    }
    const inserted = await this.repository.insert(tx, registration, now);
    return inserted ? null : await this.repository.lock(tx, host);
  }

  /** Binds a known name to another key, if that was asked for and nothing can run under the old one. */
  private async replaceKey(tx: Transaction, { host, joinToken, signingKey }: HostRegister): Promise<void> {
    if (joinToken === undefined)
      throw new ProblemError(
        'host_key_mismatch',
        `Register ${host} with the key it first had, or choose another name: this key is not its. If its machine ` +
          'was installed anew, invite it with replaceKey.',
      );
    await this.admission.admit(tx, host, joinToken, { replaceKey: true });
    if (!(await this.repository.isGone(tx, host)))
      throw new ProblemError(
        'join_token_invalid',
        `Stop the agent of ${host} that has the old key, and wait until the host is down and has nothing.`,
      );
    await this.repository.replaceKey(tx, host, signingKey);
  }

  /**
   * An agent from another boot of the machine may be one on a copy of it, with the same key and the same memory, while the
   * bots of the original run on: it would tell of them that they have ended, or be given their leases. So it waits until
   * every lease of the earlier boot is surely over. A machine that was just booted has nothing that lives, and waits for
   * less than it would for its host to be declared down; a copy of one that is heard never gets in.
   */
  private async requireNoCopy(
    tx: Transaction,
    { host, bootId }: HostRegister,
    before: HostIdentity,
  ): Promise<void> {
    if (bootId === undefined || before.bootId === null || bootId === before.bootId) return;
    if (before.state === 'down' || this.leases.isSilent(host, await this.repository.longestLeaseMs(tx, host)))
      return;
    throw new ProblemError(
      'unavailable',
      `Register again in a while: leases that ${host} had before this boot may not be over. If this machine is a copy ` +
        'of another one, give it a name and a state folder of its own.',
    );
  }

  /** Keeps the agent out that this one follows. Throws `host_superseded` when this one was itself followed before. */
  private async follow(
    tx: Transaction,
    host: string,
    before: string,
    incarnation: string,
    now: Date,
  ): Promise<void> {
    if (await this.repository.isSuperseded(tx, host, incarnation))
      throw new ProblemError(
        'host_superseded',
        `Stop this agent: another one with the key of ${host} has registered since it started. ` +
          'Give a cloned machine a name and a state folder of its own.',
      );
    await this.repository.supersede(tx, host, before, now);
  }
}

const isSameKey = (a: PublicJwk, b: PublicJwk): boolean => a.crv === b.crv && a.x === b.x;

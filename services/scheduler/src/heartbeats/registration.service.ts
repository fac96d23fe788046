import { Inject, Injectable } from '@nestjs/common';
import { CLOCK, type Clock } from '#libs/clock';
import { consumers, ProblemError, type HostRegister, type HostRegistered } from '#libs/contracts';
import { Messaging, provision, verifySignature } from '#libs/messaging';
import { Outbox } from '#libs/persistence';
import type { Transaction } from '#libs/persistence';
import { LeaderTransaction } from '../leadership/leader-transaction.repository.js';
import { ReconcilerSignal } from '../reconciliation/reconciler.signal.js';
import { RUNTIME_SETTINGS, type RuntimeSettings } from '../runtime.settings.js';
import { HostRegistrationRepository, type HostIdentity } from './host-registration.repository.js';
import { HostDirectory } from './host.directory.js';
import { requireSameHost, type HostProof } from './host-proof.js';
import { LeaseTable } from './lease.table.js';

/**
 * Registers hosts. The first registration binds the name to the key (trust on first use); every later one must be
 * signed with that key. The signature is by the offered key itself, so nobody can offer a key they do not hold.
 */
@Injectable()
export class RegistrationService {
  constructor(
    private readonly repository: HostRegistrationRepository,
    private readonly transaction: LeaderTransaction,
    private readonly outbox: Outbox,
    private readonly messaging: Messaging,
    private readonly directory: HostDirectory,
    private readonly leases: LeaseTable,
    private readonly signal: ReconcilerSignal,
    @Inject(CLOCK) private readonly clock: Clock,
    @Inject(RUNTIME_SETTINGS) private readonly settings: RuntimeSettings,
  ) {}

  /** Errors: wrong_host, bad_signature, host_key_mismatch, host_superseded. The same registration again changes nothing. */
  async register(registration: HostRegister, proof: HostProof): Promise<HostRegistered> {
    requireSameHost(registration.host, proof);
    await verifySignature(proof.bytes, proof.signature, registration.signingKey);
    const identity = await this.transaction.run(async (tx) => this.write(tx, registration));
    // Its commands are kept for it from now on; an agent may not make its own consumer.
    await provision(this.messaging, { consumers: [consumers.agentCommands(registration.host)] });
    this.directory.learn(registration.host, identity);
    this.leases.registered(registration.host);
    this.signal.wake('a host registered');
    return {
      host: registration.host,
      incarnation: registration.incarnation,
      leaseTtlMs: this.settings.leaseTtlMs,
      heartbeatIntervalMs: this.settings.heartbeatIntervalMs,
    };
  }

  private async write(tx: Transaction, registration: HostRegister): Promise<HostIdentity> {
    const { host, incarnation, signingKey } = registration;
    const now = new Date(this.clock.wallMs());
    const inserted = await this.repository.insert(tx, registration, now);
    const before = inserted ? null : await this.repository.lock(tx, host);
    if (before !== null) {
      if (before.signingKey.crv !== signingKey.crv || before.signingKey.x !== signingKey.x)
        throw new ProblemError(
          'host_key_mismatch',
          `Register ${host} with the key it first had, or choose another name: this key is not its.`,
        );
      if (before.incarnation !== incarnation) {
        if (await this.repository.isSuperseded(tx, host, incarnation))
          throw new ProblemError(
            'host_superseded',
            `Stop this agent: another one with the key of ${host} has registered since it started. ` +
              'Give a cloned machine a name and a state folder of its own.',
          );
        await this.repository.supersede(tx, host, before.incarnation, now);
      }
      await this.repository.update(tx, registration, now);
    }
    if (before?.incarnation !== incarnation) {
      await this.outbox.event(tx, {
        type: 'tradefleet.host.registered',
        id: host,
        actor: `host:${host}`,
        data: { host, incarnation, reason: null, signingKey },
      });
    }
    return { incarnation, signingKey: before?.signingKey ?? signingKey, state: before?.state ?? 'ready' };
  }
}

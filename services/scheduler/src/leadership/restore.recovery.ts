import { Inject, Injectable } from '@nestjs/common';
import { CLOCK, type Clock } from '#libs/clock';
import { ProblemError, type Heartbeat } from '#libs/contracts';
import type { SigningKey } from '#libs/messaging';
import { LOGGER, type Logger } from '#libs/telemetry';
import { leaseIsSurelyOver } from '../heartbeats/lease.rule.js';
import { RUNTIME_SETTINGS, type RuntimeSettings } from '../runtime.settings.js';
import { SCHEDULER_SIGNING_KEY } from '../scheduler.keys.js';
import { LeaderTransaction } from './leader-transaction.repository.js';
import { LEADERSHIP, LeadershipLost, type Leadership } from './leadership.js';
import { RestoreRepository } from './restore.repository.js';
import { provenTerm, signTermProof } from './term.proof.js';

/** More than the allocations an account can have had between a backup and its use. */
const epochs_skipped = 1000;

/**
 * Finds out that the database was restored from a backup: a host shows a higher term than ours, signed by the scheduler
 * that led in it. That leader may have given leases that this database knows nothing of. So we give up, the next leader
 * begins above that term, places nothing before all of them are over, and uses no epoch that may have been used.
 */
@Injectable()
export class RestoreRecovery {
  private proof: { readonly term: number; readonly text: Promise<string> } | null = null;
  /** The term in which the wait after a restore is over. */
  private settledTerm = 0;

  constructor(
    private readonly repository: RestoreRepository,
    private readonly transaction: LeaderTransaction,
    @Inject(LEADERSHIP) private readonly leadership: Leadership,
    @Inject(SCHEDULER_SIGNING_KEY) private readonly key: SigningKey,
    @Inject(RUNTIME_SETTINGS) private readonly settings: RuntimeSettings,
    @Inject(CLOCK) private readonly clock: Clock,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  /** Of our term, for the hosts to keep. Made once a term. */
  async termProof(term: number): Promise<string> {
    if (this.proof?.term !== term)
      this.proof = { term, text: signTermProof(term, new Date(this.clock.wallMs()), this.key) };
    return await this.proof.text;
  }

  /**
   * For a heartbeat whose signature is verified. Passes while our term is the highest the host has seen.
   * Throws `bad_signature` for a term that no scheduler led in; `unavailable` when ours is behind, having given up.
   */
  async check({ host, termSeen, termProof }: Heartbeat): Promise<void> {
    const term = this.leadership.current()?.term;
    if (term === undefined || termSeen === undefined || termSeen <= term) return;
    const proven = termProof === undefined ? 0 : await provenTerm(termProof, this.key, this.clock.wallMs());
    if (proven !== termSeen)
      throw new ProblemError('bad_signature', `Show the proof of term ${termSeen} that its leader gave.`);
    this.logger.fatal(
      { host, term, termSeen },
      'a host has seen a higher term: the database was restored from a backup, the lead is given up',
    );
    await this.transaction.run(async (tx) => {
      await this.repository.raiseEpochs(tx, epochs_skipped);
      await this.repository.raiseTerm(tx, termSeen);
    });
    this.leadership.lose('the database was restored from a backup');
    throw new ProblemError('unavailable', 'Send the next heartbeat: another scheduler is taking over.');
  }

  /** Whether bots may be placed: after a restore only once every lease that may have been given before is over. */
  async mayPlace(): Promise<boolean> {
    const term = this.leadership.current();
    if (term === null) throw new LeadershipLost('This process does not lead: it places nothing.');
    if (term.afterRestore !== true || this.settledTerm === term.term) return true;
    const longest_ms = Math.max(this.settings.leaseTtlMs, await this.repository.longestOwnLeaseMs());
    const terms = { ...this.settings, leaseTtlMs: longest_ms };
    if (!leaseIsSurelyOver(terms, this.clock.monotonicMs(), null, term.sinceMonotonicMs)) return false;
    await this.transaction.run(async (tx) => this.repository.settle(tx));
    this.settledTerm = term.term;
    this.logger.warn(
      { term: term.term, longest_ms },
      'leases from before the restore are over: bots are placed again',
    );
    return true;
  }
}

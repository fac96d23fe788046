import { Inject, Injectable } from '@nestjs/common';
import { CLOCK, type Clock } from '#libs/clock';
import { ProblemError, type Heartbeat } from '#libs/contracts';
import type { SigningKey } from '#libs/messaging';
import { LOGGER, type Logger } from '#libs/telemetry';
import { Outbox } from '#libs/persistence';
import { LeaseTable } from '../heartbeats/lease.table.js';
import { RUNTIME_SETTINGS, type RuntimeSettings } from '../runtime.settings.js';
import { SCHEDULER_SIGNING_KEY } from '../scheduler.keys.js';
import { LeaderTransaction } from './leader-transaction.repository.js';
import { LEADERSHIP, LeadershipLost, type Leadership, type Term } from './leadership.js';
import { RestoreRepository } from './restore.repository.js';
import { epochs_skipped, isOfLineage, type TermLineage, type TermMark } from './term.lineage.js';
import { provenTerm, signTermProof } from './term.proof.js';

/** Proofs that are not looked at again: of a fleet whose hosts have all seen other ones. */
const proofs_known_max = 1000;

/**
 * Finds out that the database was restored from a backup: a host shows what an earlier leader told it, signed by the
 * scheduler, and the database was never in that state (`isOfLineage`). That leader may have given leases that this
 * database knows nothing of. So we give up, the next leader begins above that term, places nothing before all of them
 * are over, and uses no epoch that may have been used.
 *
 * Until the hosts have shown what they know, every leader takes it that its database may have gone back: it places
 * nothing before each registered host was heard, or every lease of an earlier leader is over.
 */
@Injectable()
export class RestoreRecovery {
  private proof: { readonly mark: Required<TermMark>; readonly text: Promise<string> } | null = null;
  /** By their text, the oldest first. */
  private readonly proofs = new Map<string, TermMark>();
  /** The term in which nothing has to be waited for any more. */
  private settledTerm = 0;
  /** The term of which the longest earlier lease is over, and noted to be. */
  private endedTerm = 0;

  constructor(
    private readonly repository: RestoreRepository,
    private readonly transaction: LeaderTransaction,
    private readonly leases: LeaseTable,
    private readonly outbox: Outbox,
    @Inject(LEADERSHIP) private readonly leadership: Leadership,
    @Inject(SCHEDULER_SIGNING_KEY) private readonly key: SigningKey,
    @Inject(RUNTIME_SETTINGS) private readonly settings: RuntimeSettings,
    @Inject(CLOCK) private readonly clock: Clock,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  /** Of our term, for the hosts to keep. Made anew when it says more. */
  async termProof(mark: Required<TermMark>): Promise<string> {
    if (this.proof === null || !isSameMark(this.proof.mark, mark))
      this.proof = { mark, text: signTermProof(mark, new Date(this.clock.wallMs()), this.key) };
    return await this.proof.text;
  }

  /**
   * What the host was told by the latest leader it has heard, or null. For a heartbeat whose signature is verified.
   * Throws `bad_signature` for a term above ours that no scheduler led in.
   */
  async shown({ termSeen, termProof }: Heartbeat): Promise<TermMark | null> {
    const term = this.leadership.current()?.term;
    if (term === undefined || termSeen === undefined) return null;
    try {
      const mark = termProof === undefined ? null : await this.proven(termProof);
      if (mark?.term === termSeen) return mark;
    } catch (error) {
      // Of a signing key that is not used any more, for a term that is over: of no interest.
      if (termSeen > term || !(error instanceof ProblemError)) throw error;
    }
    if (termSeen <= term) return null;
    throw new ProblemError('bad_signature', `Show the proof of term ${termSeen} that its leader gave.`);
  }

  /** Passes while the database knows of what the host shows. Throws `unavailable` when not, having given up. */
  async requireLineage(host: string, shown: TermMark | null, lineage: TermLineage): Promise<void> {
    if (shown === null || isOfLineage(shown, lineage)) return;
    const { mark } = lineage;
    this.logger.fatal(
      { host, term: mark.term, placements: mark.placements, shown },
      'a host knows what the database does not: it was restored from a backup, the lead is given up',
    );
    await this.transaction.run(async (tx) => {
      await this.repository.raiseEpochs(tx, epochs_skipped);
      await this.repository.raiseTerm(tx, shown.term);
      await this.outbox.event(tx, {
        type: 'tradefleet.leader.restore-noticed',
        id: host,
        actor: 'service:scheduler',
        data: { host, term: mark.term, termSeen: shown.term, epochsSkipped: epochs_skipped },
      });
    });
    this.leadership.lose('the database was restored from a backup');
    throw new ProblemError('unavailable', 'Send the next heartbeat: another scheduler is taking over.');
  }

  /**
   * Whether bots may be placed: once every lease that an earlier leader may have given is over, or every registered host
   * has shown that the database has not gone back. After a restore that was noticed, only the first counts.
   */
  async mayPlace(): Promise<boolean> {
    const term = this.leadership.current();
    if (term === null) throw new LeadershipLost('This process does not lead: it places nothing.');
    await this.noteEnd(term);
    if (this.settledTerm === term.term) return true;
    if (term.afterRestore === true) return false;
    const hosts = await this.repository.hosts();
    if (!hosts.every((host) => this.leases.isKnown(host))) return false;
    this.settledTerm = term.term;
    return true;
  }

  /** Notes when every lease of earlier leaders is over, so that no later leader waits for those. */
  private async noteEnd(term: Term): Promise<void> {
    const { leaseTtlMs } = this.settings;
    if (this.endedTerm === term.term || !this.leases.areEarlierOver(leaseTtlMs)) return;
    const longest_ms = await this.repository.longestOwnLeaseMs();
    if (!this.leases.areEarlierOver(Math.max(leaseTtlMs, longest_ms))) return;
    await this.transaction.run(async (tx) => this.repository.settle(tx, leaseTtlMs));
    this.endedTerm = term.term;
    this.settledTerm = term.term;
    if (term.afterRestore === true)
      this.logger.warn(
        { term: term.term, longest_ms },
        'leases from before the restore are over: bots are placed again',
      );
  }

  private async proven(proof: string): Promise<TermMark> {
    const known = this.proofs.get(proof);
    if (known !== undefined) return known;
    const mark = await provenTerm(proof, this.key, this.clock.wallMs());
    this.proofs.set(proof, mark);
    for (const oldest of this.proofs.keys()) {
      if (this.proofs.size <= proofs_known_max) break;
      this.proofs.delete(oldest);
    }
    return mark;
  }
}

const isSameMark = (a: TermMark, b: TermMark): boolean =>
  a.term === b.term && a.holder === b.holder && a.placements === b.placements;

import { Inject, Injectable } from '@nestjs/common';
import { CLOCK, type Clock } from '#libs/clock';
import {
  movesForward,
  ProblemError,
  type Capacity,
  type Heartbeat,
  type HeartbeatAck,
} from '#libs/contracts';
import { verifySignature } from '#libs/messaging';
import { Outbox } from '#libs/persistence';
import { settling } from '../allocations/allocation.advance.js';
import { AllocationAdvanceRepository } from '../allocations/allocation-advance.repository.js';
import { eventData, type AllocationAdvance } from '../allocations/allocation.rows.js';
import type { Transaction } from '#libs/persistence';
import { LEADERSHIP, type Leadership } from '../leadership/leadership.js';
import { LeaderTransaction } from '../leadership/leader-transaction.repository.js';
import { RestoreRecovery } from '../leadership/restore.recovery.js';
import { OperationTracker } from '../operations/operation.tracker.js';
import { ReconcilerSignal } from '../reconciliation/reconciler.signal.js';
import { RUNTIME_SETTINGS, type RuntimeSettings } from '../runtime.settings.js';
import { AdvancePatience } from './advance.patience.js';
import {
  compareHeartbeat,
  type HeartbeatComparison,
  type ObservedAdvance,
  type RecordedAllocation,
} from './heartbeat.comparison.js';
import { HeartbeatRepository, type HostStanding } from './heartbeat.repository.js';
import { requireSameHost, type HostProof } from './host-proof.js';
import { HostDirectory } from './host.directory.js';
import { leaseTtlOf } from './lease.rule.js';
import { LeaseTable } from './lease.table.js';
import { ObservationStore } from './observation.store.js';

/** `hosts.last_heartbeat_at` is for people and after restarts; exact times are in memory. */
const heartbeat_written_every_ms = 60_000;

const notRegistered = (host: string): ProblemError =>
  new ProblemError(
    'host_not_registered',
    `Register ${host} with this incarnation, then go on with heartbeats.`,
  );

/**
 * Answers heartbeats: observed state up, leases down. An undisturbed one costs one query. Everything a host reports is
 * taken, whatever events were lost: this is what makes the actual state right in the end.
 */
@Injectable()
export class HeartbeatService {
  private readonly written = new Map<string, number>();

  constructor(
    private readonly repository: HeartbeatRepository,
    private readonly directory: HostDirectory,
    private readonly leases: LeaseTable,
    private readonly observations: ObservationStore,
    private readonly patience: AdvancePatience,
    private readonly advances: AllocationAdvanceRepository,
    private readonly transaction: LeaderTransaction,
    private readonly outbox: Outbox,
    private readonly operations: OperationTracker,
    private readonly signal: ReconcilerSignal,
    private readonly recovery: RestoreRecovery,
    @Inject(LEADERSHIP) private readonly leadership: Leadership,
    @Inject(CLOCK) private readonly clock: Clock,
    @Inject(RUNTIME_SETTINGS) private readonly settings: RuntimeSettings,
  ) {}

  /** Errors: wrong_host, bad_signature, host_not_registered, invalid_request (an old one), unavailable. */
  async answer(heartbeat: Heartbeat, proof: HostProof): Promise<HeartbeatAck> {
    const { host, incarnation, sequence } = heartbeat;
    requireSameHost(host, proof);
    const identity = await this.directory.find(host);
    if (identity === null) throw notRegistered(host);
    await verifySignature(proof.bytes, proof.signature, identity.signingKey);
    if (identity.incarnation !== incarnation) throw notRegistered(host);

    const shown = await this.recovery.shown(heartbeat);

    const answering = this.leases.begin(host, incarnation, sequence);
    const { standing, term } = await this.readStanding(heartbeat);
    await this.recovery.requireLineage(host, shown, standing.lineage);
    const comparison = await this.withinRestore(
      compareHeartbeat(standing.allocations, heartbeat.allocations, this.clock.wallMs()),
      heartbeat,
    );
    await this.write(heartbeat, standing, comparison);
    this.observations.record(host, heartbeat.allocations, this.clock.wallMs());

    const renewed = new Set(comparison.leases.map((lease) => lease.allocation));
    this.leases.finish(
      answering,
      renewed,
      standing.allocations.map((allocation) => allocation.id),
    );
    const termProof = await this.recovery.termProof(standing.lineage.mark);
    this.requireTerm(term);
    return {
      host,
      incarnation,
      sequence,
      term,
      termProof,
      leaseTtlMs: this.settings.leaseTtlMs,
      heartbeatIntervalMs: this.settings.heartbeatIntervalMs,
      leases: this.withTheirLength(comparison.leases, standing.allocations),
      stop: comparison.stop.slice(0, 2000),
    };
  }

  /**
   * The term is read together with the allocations: a scheduler that has been succeeded answers nothing, even before
   * it has noticed, and even when its clocks stood still. The heartbeat was sent before this read, and the read was before
   * the successor took over; so every lease an earlier leader can still give, however late its answer leaves, counts
   * from before the moment that the successor counts from (`Term.sinceMonotonicMs`).
   */
  private async readStanding({
    host,
    incarnation,
    termSeen = 0,
  }: Heartbeat): Promise<{ standing: HostStanding; term: number }> {
    const standing = await this.repository.standing(host, termSeen);
    if (standing?.incarnation !== incarnation) throw notRegistered(host);
    this.requireTerm(standing.term);
    return { standing, term: standing.term };
  }

  /**
   * After a restore the database may have an allocation here whose account has gone on elsewhere since. One that runs has
   * kept its lease, so its account has not; one that has not begun does so only once every earlier lease is over.
   */
  private async withinRestore(
    comparison: HeartbeatComparison,
    heartbeat: Heartbeat,
  ): Promise<HeartbeatComparison> {
    if (this.leadership.current()?.afterRestore !== true || (await this.recovery.mayPlace()))
      return comparison;
    const waiting = new Set(
      heartbeat.allocations.filter(({ state }) => !movesForward('preparing', state)).map(({ id }) => id),
    );
    return { ...comparison, leases: comparison.leases.filter(({ allocation }) => !waiting.has(allocation)) };
  }

  /** The lease of the leader may have ended during whatever was waited for. */
  private requireTerm(term: number): void {
    if (this.leadership.current()?.term !== term)
      throw new ProblemError('unavailable', 'Send the next heartbeat: another scheduler is taking over.');
  }

  /** Writes what the heartbeat changes; for most that is nothing. */
  private async write(
    heartbeat: Heartbeat,
    standing: HostStanding,
    comparison: HeartbeatComparison,
  ): Promise<void> {
    const { host } = heartbeat;
    const gone = this.goneFrom(host, comparison);
    const now_ms = this.clock.monotonicMs();
    const advances = this.patience.ripe(host, comparison.advances, now_ms);
    const reports = [...advances.map(reportOf), ...gone.map(goneReport)];
    // What the host should not have must be dead before it gets work again.
    const back = standing.state === 'down' && comparison.stop.length === 0;
    const changed = !sameCapacity(standing.capacity, heartbeat.capacity);
    const stale = now_ms - (this.written.get(host) ?? -Infinity) >= heartbeat_written_every_ms;
    if (reports.length === 0 && !back && !changed && !stale) return;

    const now = new Date(this.clock.wallMs());
    await this.transaction.run(async (tx) => {
      await this.repository.observe(tx, host, heartbeat.capacity, now);
      if (back) await this.bringBack(tx, host);
      const steps = await this.advances.advance(tx, reports, now);
      const goneIds = new Set(gone.map((allocation) => allocation.id));
      const events = steps
        .filter((step) => goneIds.has(step.id))
        .map((step) => ({
          type:
            step.state === 'stopped'
              ? ('tradefleet.allocation.stopped' as const)
              : ('tradefleet.allocation.failed' as const),
          id: step.id,
          actor: 'service:scheduler',
          data: eventData(step.from, step.state, step),
        }));
      if (events.length > 0) await this.outbox.events(tx, events);
      await this.operations.botsChanged(tx, settling(steps));
    });
    this.written.set(host, now_ms);
    if (reports.length > 0 || back || changed) this.signal.wake('a heartbeat brought news');
  }

  private withTheirLength(
    leases: HeartbeatComparison['leases'],
    allocations: readonly RecordedAllocation[],
  ): HeartbeatAck['leases'] {
    const ttlOf = new Map(
      allocations.map(({ id, leaseTtlMs }) => [id, leaseTtlOf(this.settings, leaseTtlMs)]),
    );
    return leases.map((lease) => {
      const ttlMs = ttlOf.get(lease.allocation) ?? this.settings.leaseTtlMs;
      return ttlMs === this.settings.leaseTtlMs ? lease : { ...lease, ttlMs };
    });
  }

  private goneFrom(host: string, { missing }: HeartbeatComparison): RecordedAllocation[] {
    const ownTtl = new Map(missing.map(({ id, leaseTtlMs }) => [id, leaseTtlMs]));
    const gone = new Set(
      this.leases.countMissing(
        host,
        missing.map((allocation) => allocation.id),
        (id) => leaseTtlOf(this.settings, ownTtl.get(id)),
      ),
    );
    return missing.filter((allocation) => gone.has(allocation.id));
  }

  private async bringBack(tx: Transaction, host: string): Promise<void> {
    const back = await this.repository.bringBack(tx, host);
    if (back === null) return;
    await this.outbox.event(tx, {
      type: back.state === 'draining' ? 'tradefleet.host.draining' : 'tradefleet.host.ready',
      id: host,
      actor: `host:${host}`,
      data: {
        host,
        incarnation: back.incarnation,
        reason: 'It is heard again and has nothing it should not have.',
      },
    });
  }
}

const reportOf = (advance: ObservedAdvance): AllocationAdvance => ({
  ...advance,
  ran: advance.state === 'running',
});

/** The host does not have it any more: it has stopped when it was to stop, else something failed. */
const goneReport = ({ id, stopReason }: RecordedAllocation): AllocationAdvance => ({
  id,
  state: stopReason === null || stopReason === 'rejected' ? 'failed' : 'stopped',
  stage: null,
  attempt: 1,
  lastExit: null,
  reason: stopReason ?? 'unknown-to-host',
  detail: 'The host left it out of its heartbeats for longer than its lease.',
  exitCode: null,
  ran: false,
});

const sameCapacity = (a: Capacity, b: Capacity): boolean =>
  a.cpuMillis === b.cpuMillis && a.memoryMiB === b.memoryMiB && a.bots === b.bots;

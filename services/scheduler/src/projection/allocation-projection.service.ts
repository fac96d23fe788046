import { Inject, Injectable } from '@nestjs/common';
import { CLOCK, type Clock } from '#libs/clock';
import { isLive, ProblemError, type AllocationEventData, type AttemptExit } from '#libs/contracts';
import { verifyEvent, type DecodedEvent, type Delivery } from '#libs/messaging';
import { settling } from '../allocations/allocation.advance.js';
import { AllocationAdvanceRepository } from '../allocations/allocation-advance.repository.js';
import { AllocationRepository } from '../allocations/allocation.repository.js';
import { HostDirectory } from '../heartbeats/host.directory.js';
import { RejectionLog, type Rejection } from '../heartbeats/rejection.log.js';
import { LeaderTransaction } from '../leadership/leader-transaction.repository.js';
import { OperationTracker } from '../operations/operation.tracker.js';
import { ReconcilerSignal } from '../reconciliation/reconciler.signal.js';
import { decodeOrReject } from './decode-delivery.js';
import { advanceOf, hostReportOf, identityMisfit, isMisfit, type Misfit } from './allocation-event.check.js';

/** A delivery that its host verifiably signed. */
interface Report {
  readonly delivery: Delivery;
  readonly what: string;
  readonly data: AllocationEventData;
  readonly lastExit: AttemptExit | null;
}

/**
 * Events of agents into actual state, a batch in one transaction. Commands and events give speed; whatever is lost or
 * late here, heartbeats bring. What does not verify or does not fit changes nothing: it becomes a dead letter and is
 * audited.
 */
@Injectable()
export class AllocationProjectionService {
  constructor(
    private readonly directory: HostDirectory,
    private readonly allocations: AllocationRepository,
    private readonly advances: AllocationAdvanceRepository,
    private readonly transaction: LeaderTransaction,
    private readonly operations: OperationTracker,
    private readonly rejections: RejectionLog,
    private readonly signal: ReconcilerSignal,
    @Inject(CLOCK) private readonly clock: Clock,
  ) {}

  /** Resolves when every delivery is in the database or rejected; throws when the database could not take them. */
  async project(deliveries: readonly Delivery[]): Promise<void> {
    const rejected: Rejection[] = [];
    const checked = await Promise.all(deliveries.map((delivery) => this.check(delivery, rejected)));
    const reports = await this.fitting(
      checked.filter((report) => report !== null),
      rejected,
    );
    const news = reports.length > 0 ? await this.write(reports) : false;
    await this.rejections.record(rejected);
    if (news) this.signal.wake('allocations ended');
  }

  /** Null for what is not to be projected: our own events, and what was rejected. */
  private async check(delivery: Delivery, rejected: Rejection[]): Promise<Report | null> {
    const event = decodeOrReject(delivery);
    if (event === null) return null;
    const report = hostReportOf(event);
    if (report === null) return null;
    const host = claimedHost(event);
    if (isMisfit(report)) return this.reject(delivery, host, event.what, null, report, rejected);
    const key = await this.directory.signingKey(report.host);
    if (key === null) {
      const unknown = { code: 'host_not_registered', detail: 'No such host has registered.' } as const;
      return this.reject(delivery, host, event.what, null, unknown, rejected);
    }
    try {
      await verifyEvent(delivery, key);
    } catch (error) {
      if (!(error instanceof ProblemError)) throw error;
      return this.reject(delivery, host, event.what, report.data.allocation, error, rejected);
    }
    return { delivery, what: event.what, data: report.data, lastExit: report.lastExit };
  }

  /** The reports about allocations as they stand: same host, account, bot and epoch. */
  private async fitting(reports: readonly Report[], rejected: Rejection[]): Promise<Report[]> {
    if (reports.length === 0) return [];
    const ids = [...new Set(reports.map((report) => report.data.allocation))];
    const rows = new Map((await this.allocations.identities(ids)).map((row) => [row.id, row]));
    return reports.filter(({ delivery, what, data }) => {
      const problem = identityMisfit(data, rows.get(data.allocation));
      if (problem !== null) this.reject(delivery, data.host, what, data.allocation, problem, rejected);
      return problem === null;
    });
  }

  /** Answers whether anything ended, so that there is room or a bot to place again. */
  private async write(reports: readonly Report[]): Promise<boolean> {
    const now = new Date(this.clock.wallMs());
    const advances = reports.map(advanceOf);
    return this.transaction.run(async (tx) => {
      const steps = await this.advances.advance(tx, advances, now);
      await this.operations.botsChanged(tx, settling(steps));
      return steps.some((step) => !isLive(step.state));
    });
  }

  private reject(
    delivery: Delivery,
    host: string | null,
    what: string,
    allocation: string | null,
    { code, detail }: Misfit,
    rejected: Rejection[],
  ): null {
    delivery.reject(`${code}: ${detail}`);
    if (host !== null) rejected.push({ host, allocation, verb: what, code, detail: detail.slice(0, 300) });
    return null;
  }
}

/** For the audit: who it is said to come from. */
function claimedHost({ attributes, data }: DecodedEvent): string | null {
  const [, kind, host] = attributes.source.split('/');
  if (kind === 'agent' && host !== undefined) return host;
  return 'host' in data ? data.host : null;
}

import { rm } from 'node:fs/promises';
import type { Clock } from '#libs/clock';
import { consumers } from '#libs/contracts';
import { waitFor } from '#libs/testing';
import type { AuditFleet } from '../../../bench/src/audit/audit.fleet.js';
import type { Part } from '../parts/part.js';
import type { KillsMade } from './audit.result.js';
import type { PlannedKills, Target } from './kill.planner.js';
import type { LogReader } from './log.reader.js';

const recover_ms_max = 90_000;
const backlog_ms_max = 30_000;

/** Kills with SIGKILL, starts again, and waits until the log goes on. */
export class Killer {
  constructor(
    private readonly fleet: AuditFleet,
    private readonly audit: Part,
    private readonly log: LogReader,
    private readonly clock: Clock,
    /** Events that are to be in the store and nowhere else when it is deleted. */
    private readonly backlog: number,
  ) {}

  /** @param isOver whether nothing more is written, so that the log need not go on */
  async make(
    { targets, down_ms, losesStore }: PlannedKills,
    written: number,
    isOver: () => boolean,
  ): Promise<KillsMade> {
    const begin_ms = this.clock.monotonicMs();
    const lostByStore = losesStore ? await this.untilBacklog() : 0;
    for (const target of targets) await this.kill(target);
    if (losesStore) await rm(this.fleet.nats.storeDir, { recursive: true, force: true });
    await this.clock.sleep(down_ms);
    const down = this.clock.monotonicMs();
    // The servers first; for a supervisor, which tries all until they run, the order would not matter.
    for (const target of targets.toReversed()) await this.startAgain(target);
    const up_ms = this.clock.monotonicMs();
    const before = await waitFor(async () => ({ size: await this.log.size() }), {
      ...{ timeoutMs: recover_ms_max, what: 'Postgres to answer' },
    });
    await waitFor(
      async () => (await this.fleet.isReady('audit')) && (isOver() || (await this.log.size()) > before.size),
      { timeoutMs: recover_ms_max, what: `the log to go on after ${targets.join(' and ')} was killed` },
    );
    return {
      ...{ targets, losesStore, written, lostByStore, down_ms: down - begin_ms },
      recover_ms: this.clock.monotonicMs() - up_ms,
    };
  }

  private async kill(target: Target): Promise<void> {
    if (target === 'audit') await this.audit.kill();
    else await (target === 'nats' ? this.fleet.nats : this.fleet.postgres).kill();
  }

  private async startAgain(target: Target): Promise<void> {
    if (target === 'audit') this.audit.release();
    else await (target === 'nats' ? this.fleet.nats : this.fleet.postgres).restart();
  }

  /**
   * The audit service gets no more events, and goes on telling producers what it has, or they would soon write no more.
   * @returns how many are in the stream and not recorded
   */
  private async untilBacklog(): Promise<number> {
    const { stream, durable } = consumers.audit;
    await this.fleet.pauseIngestion();
    const { pending } = await waitFor(
      async () => {
        const manager = await this.fleet.messaging.manager();
        const { num_pending, num_ack_pending } = await manager.consumers.info(stream, durable);
        const waiting = num_pending + num_ack_pending;
        return waiting >= this.backlog ? { pending: waiting } : null;
      },
      { timeoutMs: backlog_ms_max, what: `${this.backlog} events that only the store holds` },
    );
    return pending;
  }
}

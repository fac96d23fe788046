import { Inject, Injectable } from '@nestjs/common';
import { CLOCK, type Clock } from '#libs/clock';
import {
  movesForward,
  type AllocationEventData,
  type AllocationState,
  type EventData,
  type EventTypeName,
  type Stage,
} from '#libs/contracts';
import { InvalidTransition } from '../errors.js';
import { EventSpool } from '#libs/spool';
import { Identity } from '../identity/identity.js';
import { AgentDatabase } from '../state/agent.database.js';
import { AllocationsRepository } from '../state/allocations.repository.js';
import { followedByAnother, type AttemptEnd } from './allocation.attempts.js';
import { isStarted, type AllocationRecord } from './allocation.record.js';

const begunNow = (record: AllocationRecord): AllocationRecord => ({
  ...record,
  attempts: { ...record.attempts, dueBoottimeMs: null },
});

export type Change = Partial<Pick<AllocationRecord, 'stage' | 'reason' | 'detail' | 'exitCode'>>;

/** The event that tells of a state; `placed` and `lost` are the scheduler's to say. */
const eventOf: Partial<Record<AllocationState, EventTypeName & `tradefleet.allocation.${string}`>> = {
  accepted: 'tradefleet.allocation.accepted',
  preparing: 'tradefleet.allocation.preparing',
  starting: 'tradefleet.allocation.starting',
  running: 'tradefleet.allocation.running',
  stopping: 'tradefleet.allocation.stopping',
  stopped: 'tradefleet.allocation.stopped',
  failed: 'tradefleet.allocation.failed',
};

/**
 * Writes what becomes of allocations: the state and the event that tells of it in one commit. With a signal it waits for
 * room while the disk is full: what lives goes on, and is told of once it can be.
 */
@Injectable()
export class AllocationJournal {
  constructor(
    private readonly db: AgentDatabase,
    private readonly allocations: AllocationsRepository,
    private readonly spool: EventSpool,
    private readonly identity: Identity,
    @Inject(CLOCK) private readonly clock: Clock,
  ) {}

  /** Inside a commit: the first state of a record. */
  open(record: AllocationRecord): AllocationRecord {
    this.#write(record, eventOf[record.state] ?? null, record.command?.actor ?? null);
    return record;
  }

  /**
   * Moves to a later state and gives the changed record once it is durable.
   * @throws InvalidTransition for a state that does not lie ahead.
   */
  async move(
    record: AllocationRecord,
    state: AllocationState,
    change: Change = {},
    actor: string | null = null,
    signal?: AbortSignal,
  ): Promise<AllocationRecord> {
    const type = eventOf[state];
    if (type === undefined || !movesForward(record.state, state)) {
      throw new InvalidTransition(`An allocation does not go from ${record.state} to ${state}.`);
    }
    const moved = { ...(state === 'starting' ? begunNow(record) : record), ...change, state };
    await this.#commit(() => this.#write(moved, type, actor), signal);
    return moved;
  }

  /**
   * The attempt has ended and another follows after `delayMs`. With its container go the things that hooks had made.
   * @param at when it ended
   */
  async restarting(
    record: AllocationRecord,
    end: AttemptEnd,
    at: { readonly boottimeMs: number; readonly wallMs: number; readonly delayMs: number },
    signal: AbortSignal,
  ): Promise<AllocationRecord> {
    const attempts = followedByAnother(record.attempts, end, at);
    const next = { ...record, attempts, stage: null };
    const { reason, detail, exitCode } = end;
    await this.#commit(() => {
      this.allocations.forgetHooksOf(record.id);
      this.#write(next, 'tradefleet.allocation.restarting', this.identity.actor, {
        ...{ reason, detail, exitCode, delayMs: at.delayMs },
      });
    }, signal);
    return next;
  }

  /** All hooks of the attempt are to be done (again): an agent that was killed may have done some for the same one. */
  async anew(record: AllocationRecord, signal: AbortSignal): Promise<void> {
    await this.#commit(() => this.allocations.forgetHooksOf(record.id), signal);
  }

  /** The container of an attempt that was waited for runs. */
  async begun(record: AllocationRecord, signal: AbortSignal): Promise<AllocationRecord> {
    const begun = begunNow(record);
    await this.#commit(() => this.#write(begun, null, null), signal);
    return begun;
  }

  /**
   * Stages passed, in order, the first of them `tookMs` after the one before; with `running` when the last of them means
   * ready, once in every attempt.
   */
  async stages(
    record: AllocationRecord,
    passed: readonly Stage[],
    ready: boolean,
    tookMs: number | null,
    signal: AbortSignal,
  ): Promise<AllocationRecord> {
    if (ready && record.state !== 'running' && !movesForward(record.state, 'running')) {
      throw new InvalidTransition(`An allocation does not go from ${record.state} to running.`);
    }
    let latest = record;
    await this.#commit(() => {
      latest = record;
      for (const [index, stage] of passed.entries()) {
        latest = { ...latest, stage };
        const took = { tookMs: index === 0 ? tookMs : 0 };
        this.#write(latest, 'tradefleet.allocation.stage-reached', null, took);
      }
      if (!ready) return;
      latest = { ...latest, state: 'running' };
      this.#write(latest, 'tradefleet.allocation.running', null);
    }, signal);
    return latest;
  }

  /** A restarted agent goes on with it; `state` is what its container has reached meanwhile. */
  async adopted(record: AllocationRecord, state: AllocationState): Promise<AllocationRecord> {
    const adopted = { ...record, state };
    await this.db.commit(() => this.#write(adopted, 'tradefleet.allocation.adopted', this.identity.actor));
    return adopted;
  }

  async #commit(work: () => void, signal: AbortSignal | undefined): Promise<void> {
    await this.db.commit(work, signal === undefined ? undefined : { clock: this.clock, signal });
  }

  #write(
    record: AllocationRecord,
    type: (EventTypeName & `tradefleet.allocation.${string}`) | null,
    actor: string | null,
    more: Partial<EventData<'tradefleet.allocation.restarting' | 'tradefleet.allocation.stage-reached'>> = {},
  ): void {
    this.allocations.save(record, this.clock.wallMs());
    // An allocation that was never started here has no names to tell of; the heartbeat reports it.
    if (type === null || !isStarted(record)) return;
    this.spool.append({
      type,
      subjectId: record.id,
      data: { ...this.#data(record, record.command), ...more },
      actor: actor ?? record.command.actor,
      traceparent: record.traceparent,
    });
  }

  #data(record: AllocationRecord, names: { tenant: string; bot: string }): AllocationEventData {
    return {
      allocation: record.id,
      tenant: names.tenant,
      bot: names.bot,
      account: record.account,
      host: this.identity.host,
      epoch: record.epoch,
      state: record.state,
      stage: record.stage,
      attempt: record.attempts.attempt,
      reason: record.reason,
      detail: record.detail,
      exitCode: record.exitCode,
    };
  }
}

import { Inject, Injectable } from '@nestjs/common';
import { CLOCK, type Clock } from '#libs/clock';
import type { ObservedAllocation } from '#libs/contracts';
import { LOGGER, type Logger } from '#libs/telemetry';
import { DRIVER, type Driver, type TaskHandle } from '../drivers/driver.js';
import { withinRoom } from '../heartbeats/heartbeat-room.js';
import { HeartbeatSignal } from '../heartbeats/heartbeat.signal.js';
import { Identity } from '../identity/identity.js';
import { LeaseKeeper } from '../leases/lease-keeper.js';
import { RUN_FILES, type RunFiles } from '../run-files/run-files.js';
import { AgentDatabase } from '../state/agent.database.js';
import { AllocationsRepository } from '../state/allocations.repository.js';
import { AllocationHooks, type HookMemory } from './allocation.hooks.js';
import { AllocationJournal } from './allocation.journal.js';
import type { AllocationRecord, StartedRecord, StopWish } from './allocation.record.js';
import type { Beginning } from './allocation.beginning.js';
import { AllocationRunner } from './allocation.runner.js';
import type { RunnerTools } from './runner-tools.js';
import { AllocationRestarts } from './allocation.restarts.js';
import { AllocationTakedown } from './allocation.takedown.js';
import { WorkSlots } from './work-slots.js';

/** Most allocations a heartbeat can carry. */
const observed_max = 2000;

/**
 * The allocations that live on this host. One lane for each account: a newer allocation begins once the older one is
 * dead and removed; at most `lanes_working_max` prepare and start at the same time.
 */
@Injectable()
export class AllocationsService {
  readonly #runners = new Map<string, AllocationRunner>();
  /** The newest allocation of each account. */
  readonly #lanes = new Map<string, AllocationRunner>();
  /** What has to be over before anything else of an account begins: older allocations, stray containers. */
  readonly #barriers = new Map<string, Promise<void>>();
  readonly #tools: RunnerTools;
  #detached = false;

  constructor(
    @Inject(DRIVER) driver: Driver,
    hooks: AllocationHooks,
    journal: AllocationJournal,
    slots: WorkSlots,
    leases: LeaseKeeper,
    @Inject(RUN_FILES) files: RunFiles,
    restarts: AllocationRestarts,
    takedown: AllocationTakedown,
    private readonly db: AgentDatabase,
    private readonly allocations: AllocationsRepository,
    private readonly heartbeats: HeartbeatSignal,
    private readonly identity: Identity,
    @Inject(CLOCK) clock: Clock,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {
    const memory = (id: string): HookMemory => ({
      done: () => this.allocations.hooksDone(id),
      remember: async (hook, signal) =>
        await this.db.commit(() => this.allocations.hookDone(id, hook), { clock, signal }),
    });
    this.#tools = {
      driver,
      hooks,
      journal,
      memory,
      slots,
      leases,
      files,
      restarts,
      takedown,
      heartbeats,
      identity,
      clock,
      logger,
    };
  }

  /** Begins the work on a recorded allocation; a second time it changes nothing. */
  begin(record: StartedRecord, beginning: Beginning = { kind: 'run' }): void {
    if (this.#runners.has(record.id) || this.#detached) return;
    const older = this.#lanes.get(record.account);
    // Its epoch has passed with this one, whoever forgot to say so.
    older?.stop({
      reason: 'stale-epoch',
      graceMs: 0,
      actor: this.identity.actor,
      detail: 'A newer epoch came.',
    });
    // Not the next older one alone: it may have given up waiting for one that lives still.
    if (older !== undefined) this.hold(record.account, older.done);
    const over = this.#barriers.get(record.account) ?? Promise.resolve();
    const runner = new AllocationRunner(record, this.#tools, beginning, over);
    this.#runners.set(record.id, runner);
    this.#lanes.set(record.account, runner);
    runner.done.then(
      () => this.#forget(runner),
      (error: unknown) => {
        this.logger.fatal({ err: error, allocation: runner.id }, 'allocation was lost sight of');
        this.#forget(runner);
      },
    );
    this.heartbeats.call();
  }

  /** False when no such allocation lives here. */
  stop(allocation: string, wish: StopWish): boolean {
    const runner = this.#runners.get(allocation);
    runner?.stop(wish);
    return runner !== undefined;
  }

  /** Ends everything and resolves when all of it is removed. */
  async stopAll(detail: string): Promise<void> {
    const runners = [...this.#runners.values()];
    for (const runner of runners) {
      const { command } = runner.record;
      const graceMs = command?.stopGraceMs ?? 0;
      const askedBoottimeMs = this.#tools.clock.boottimeMs();
      const wish = { reason: 'asked', graceMs, actor: this.identity.actor, detail, askedBoottimeMs } as const;
      runner.stop(wish);
      // Should the agent not live to see it: the next one goes on with it, and gives no second grace.
      this.db
        .commit(() => this.allocations.wishStop(runner.id, wish))
        .catch((error: unknown) =>
          this.logger.error({ err: error, allocation: runner.id }, 'wish to stop could not be recorded'),
        );
    }
    await Promise.all(runners.map((runner) => runner.done));
  }

  /** Lets go of everything: containers keep running. Resolves when nothing is worked on any more. */
  async detachAll(): Promise<void> {
    this.#detached = true;
    const runners = [...this.#runners.values()];
    for (const runner of runners) runner.detach();
    this.#tools.slots.close();
    await Promise.all(runners.map((runner) => runner.done));
  }

  /** Nothing of the account begins before `over` is settled; what waits gives up after its own time. */
  hold(account: string, over: Promise<void>): void {
    const settled = Promise.allSettled([this.#barriers.get(account), over]).then(() => undefined);
    this.#barriers.set(account, settled);
    void settled.then(() => {
      if (this.#barriers.get(account) === settled) this.#barriers.delete(account);
    });
  }

  /** Whether it lives here, or is being removed. */
  has(allocation: string): boolean {
    return this.#runners.has(allocation);
  }

  /** How many live here. */
  get count(): number {
    return this.#runners.size;
  }

  handleOf(allocation: string): TaskHandle | null {
    return this.#runners.get(allocation)?.handle ?? null;
  }

  /** What the heartbeat says: all that lives, and of what ended and was not yet heard of as much as there is room for. */
  observed(): ObservedAllocation[] {
    const live = [...this.#runners.values()].slice(0, observed_max);
    const ids = new Set(live.map((runner) => runner.id));
    const ended = this.allocations
      .unreported(observed_max - live.length)
      // Its end is written and its container not yet removed: told once.
      .filter((record) => !ids.has(record.id));
    return withinRoom([
      ...live.map((runner) => observedOf(runner.record, runner.observation)),
      ...ended.map((record) => observedOf(record, null)),
    ]);
  }

  #forget(runner: AllocationRunner): void {
    this.#runners.delete(runner.id);
    if (this.#lanes.get(runner.account) === runner) this.#lanes.delete(runner.account);
  }
}

const observedOf = (
  { id, account, epoch, state, reason, detail, exitCode, attempts: { attempt, lastExit } }: AllocationRecord,
  observation: ObservedAllocation['observation'],
): ObservedAllocation => ({
  ...{ id, account, epoch, state, reason, detail, exitCode },
  ...{ attempt, lastExit, observation },
});

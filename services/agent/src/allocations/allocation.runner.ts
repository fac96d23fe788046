import type { Clock } from '#libs/clock';
import { movesForward, type BotObservation, type EndReason, type Stage } from '#libs/contracts';
import type { Logger } from '#libs/telemetry';
import type { Driver, TaskExit, TaskHandle, TaskSpec } from '../drivers/driver.js';
import { AllocationFailure, isAbort, oneLine } from '../errors.js';
import type { HeartbeatSignal } from '../heartbeats/heartbeat.signal.js';
import type { Identity } from '../identity/identity.js';
import { ContainerLease } from '../leases/container-lease.js';
import type { LeaseKeeper } from '../leases/lease-keeper.js';
import type { RunFiles } from '../run-files/run-files.js';
import { FileStatusFeed, silentStatusFeed, type StatusFeed } from '../run-files/status-feed.js';
import type { HookContext } from './allocation.hook.js';
import { runHooks, type AllocationHooks, type HookMemory } from './allocation.hooks.js';
import type { AllocationJournal } from './allocation.journal.js';
import type { AllocationRecord, StartedRecord, StopWish } from './allocation.record.js';
import type { AllocationTakedown, Ending } from './allocation.takedown.js';
import { reasonOfExit } from './exit-reason.js';
import type { WorkSlots } from './work-slots.js';

/** How the work on an allocation begins. */
export type Beginning =
  | { readonly kind: 'run' }
  /** A restarted agent found its container alive under a live lease. */
  | { readonly kind: 'adopted'; readonly handle: TaskHandle; readonly deadlineMs: number | null }
  /** A restarted agent found that it is over, or that it must be. */
  | { readonly kind: 'over'; readonly handle: TaskHandle | null; readonly ending: Ending };

/** What a runner works with; one set for all of them. */
export interface RunnerTools {
  readonly driver: Driver;
  readonly hooks: AllocationHooks;
  readonly journal: AllocationJournal;
  readonly memory: (allocation: string) => HookMemory;
  readonly slots: WorkSlots;
  readonly leases: LeaseKeeper;
  readonly files: RunFiles;
  readonly takedown: AllocationTakedown;
  readonly heartbeats: HeartbeatSignal;
  readonly identity: Identity;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Longest wait until an older allocation of the account is dead. */
const predecessor_wait_ms_max = 60_000;

/**
 * Runs one allocation from its command to its end:
 *
 *   accepted -> preparing -> starting -> running -> stopping -> stopped
 *      |            |            |          |           |
 *      |     hooks to start   ready hook    |      asked: SIGTERM, grace, SIGKILL
 *      +------------+------------+----------+-----------+---> failed
 *                                                exit, lease ended, a hook that cannot go on
 *
 * Everything that ends it (a stop, an exit, the lease, a failure, the agent's own end) is one *interruption*; the
 * first one decides how it ends, later ones can only make it quicker. The end is told once the container is dead.
 */
export class AllocationRunner {
  readonly id: string;
  readonly account: string;
  /** Resolves when it has ended and is removed, or when the agent has let go of it. */
  readonly done: Promise<void>;
  /** Ends hooks and waits. */
  readonly #interruption = new AbortController();
  /** Ends the grace of a stop. */
  readonly #urgency = new AbortController();
  /** The agent ends. */
  readonly #letGo = new AbortController();
  readonly #lease: ContainerLease;
  #record: StartedRecord;
  #ending: Ending | null = null;
  #handle: TaskHandle | null = null;
  #status: StatusFeed = silentStatusFeed;

  constructor(
    record: StartedRecord,
    private readonly tools: RunnerTools,
    beginning: Beginning,
    predecessor: Promise<void>,
  ) {
    this.#record = record;
    this.id = record.id;
    this.account = record.account;
    const adopted = beginning.kind === 'adopted';
    this.#lease = new ContainerLease(
      record.id,
      record.epoch,
      tools.files,
      tools.clock,
      () => this.#leaseEnded(),
      {
        published: adopted,
      },
    );
    if (beginning.kind !== 'over') tools.leases.hold(this.#lease, adopted ? beginning.deadlineMs : null);
    this.done = this.#live(beginning, predecessor);
  }

  get record(): AllocationRecord {
    return this.#record;
  }

  get handle(): TaskHandle | null {
    return this.#handle;
  }

  get observation(): BotObservation | null {
    return this.#status.observation();
  }

  /** Ends it as asked. A second wish can only shorten the grace. */
  stop(wish: StopWish): void {
    const { reason, detail, graceMs, actor } = wish;
    if (this.#interrupt({ state: 'stopped', reason, detail, exitCode: null, graceMs, actor })) return;
    this.#hurryAfter(graceMs).catch((error: unknown) => this.#failed(error));
  }

  /** Lets go of it: the container keeps running, the next agent adopts it. */
  detach(): void {
    this.#letGo.abort();
    this.#interruption.abort();
  }

  async #live(beginning: Beginning, predecessor: Promise<void>): Promise<void> {
    try {
      await this.#work(beginning, predecessor);
    } catch (error) {
      this.#failed(error);
    }
    await aborted(this.#interruption.signal);
    await this.#status.close();
    if (this.#ending === null) return;
    await this.tools.takedown.run(this.#record, this.#task(), this.#handle, this.#ending, {
      urgency: this.#urgency.signal,
      letGo: this.#letGo.signal,
      onChange: (record) => this.#changed(record),
    });
    // Nobody need hurry any more.
    this.#urgency.abort();
  }

  /** Up to a bot that is ready; returns early when there is nothing left to do but to wait for the end. */
  async #work(beginning: Beginning, predecessor: Promise<void>): Promise<void> {
    if (this.#record.stop !== null) this.stop(this.#record.stop);
    if (beginning.kind === 'over') {
      this.#handle = beginning.handle;
      this.#interrupt(beginning.ending);
      return;
    }
    if (beginning.kind === 'adopted') this.#follow(beginning.handle);
    else await this.#start(predecessor);
    await runHooks(this.tools.hooks.untilReady, this.#context(), this.tools.memory(this.id));
  }

  async #start(predecessor: Promise<void>): Promise<void> {
    const { signal } = this.#interruption;
    await this.#waitFor(predecessor);
    const giveBack = await this.tools.slots.take(signal);
    try {
      if (this.#record.state === 'accepted') await this.#move('preparing');
      await runHooks(this.tools.hooks.untilStarted, this.#context(), this.tools.memory(this.id));
    } finally {
      giveBack();
    }
  }

  async #waitFor(predecessor: Promise<void>): Promise<void> {
    const enough = new AbortController();
    const signal = AbortSignal.any([this.#interruption.signal, enough.signal]);
    const bound = this.tools.clock.sleep(predecessor_wait_ms_max, signal).then(() => 'late' as const);
    bound.catch(() => undefined);
    try {
      if ((await Promise.race([predecessor, bound])) !== 'late') return;
    } finally {
      enough.abort();
    }
    throw new AllocationFailure(
      'start-failed',
      'An older allocation of the account cannot be ended on this host.',
    );
  }

  #context(): HookContext {
    const record = () => this.#record;
    const status = () => this.#status;
    return {
      get record() {
        return record();
      },
      get status() {
        return status();
      },
      task: this.#task(),
      signal: this.#interruption.signal,
      publishLease: async () => await this.#publishLease(),
      started: async (handle) => await this.#started(handle),
      reached: async (stages, ready) => await this.#reached(stages, ready),
    };
  }

  #task(): TaskSpec {
    const { command } = this.#record;
    return {
      allocation: this.id,
      tenant: command.tenant,
      bot: command.bot,
      account: this.account,
      epoch: this.#record.epoch,
      host: this.tools.identity.host,
      runtime: command.runtime,
      version: command.version,
      resources: command.resources,
      runDir: this.tools.files?.path(this.id) ?? '',
      stopGraceMs: command.stopGraceMs,
    };
  }

  async #publishLease(): Promise<void> {
    const left_ms = this.tools.leases.remainingMs(this.id) ?? 0;
    if (left_ms <= 0)
      throw new AllocationFailure('lease-ended', 'The lease ended before the container was started.');
    await this.#lease.publish(Math.floor(this.tools.clock.boottimeMs() + left_ms));
  }

  async #started(handle: TaskHandle): Promise<void> {
    this.#follow(handle);
    if (movesForward(this.#record.state, 'starting')) await this.#move('starting');
  }

  /** From now on there is a container to watch. */
  #follow(handle: TaskHandle): void {
    const { files, clock, logger, driver } = this.tools;
    this.#handle = handle;
    if (files !== null) {
      this.#status = new FileStatusFeed(
        { allocation: this.id, epoch: this.#record.epoch },
        files,
        clock,
        logger,
      );
    }
    driver.wait(handle, this.#interruption.signal).then(
      (exit) => this.#exited(exit),
      (error: unknown) => this.#failed(error),
    );
  }

  async #reached(stages: readonly Stage[], ready: boolean): Promise<void> {
    this.#record = this.#with(await this.tools.journal.stages(this.#record, stages, ready));
    if (ready) this.tools.logger.info({ allocation: this.id, bot: this.#record.command.bot }, 'bot is ready');
  }

  async #move(state: 'preparing' | 'starting'): Promise<void> {
    this.#record = this.#with(await this.tools.journal.move(this.#record, state));
  }

  /** The scheduler hears of it at once. */
  #changed(record: AllocationRecord): void {
    this.#record = this.#with(record);
    this.tools.heartbeats.call();
  }

  #with(changed: AllocationRecord): StartedRecord {
    return { ...changed, command: this.#record.command };
  }

  #exited(exit: TaskExit): void {
    const { reason, detail } = reasonOfExit(exit);
    const said = this.#status.latest()?.error ?? null;
    this.#fail(reason, said === null ? detail : `${detail} It says: ${said}`, exit.exitCode);
  }

  #failed(error: unknown): void {
    if (this.#interruption.signal.aborted) return;
    if (error instanceof AllocationFailure) {
      this.#fail(error.reason, error.detail, null);
      return;
    }
    this.tools.logger.error({ err: error, allocation: this.id }, 'allocation met a defect');
    this.#fail('start-failed', `The agent met a defect: ${oneLine(error)}`, null);
  }

  #fail(reason: EndReason, detail: string, exitCode: number | null): void {
    const actor = this.tools.identity.actor;
    // Part of it may be the bot's own words, which are to reach a database that takes no control characters.
    this.#interrupt({ state: 'failed', reason, detail: oneLine(detail), exitCode, graceMs: 0, actor });
  }

  #leaseEnded(): void {
    this.#fail('lease-ended', 'The lease was not renewed in time.', null);
    // Whatever it was stopping for: without a lease there is no grace.
    this.#urgency.abort();
  }

  async #hurryAfter(graceMs: number): Promise<void> {
    try {
      await this.tools.clock.sleep(graceMs, this.#urgency.signal);
      this.#urgency.abort();
    } catch (error) {
      if (!isAbort(error)) throw error;
    }
  }

  /** False when another interruption was first. */
  #interrupt(ending: Ending): boolean {
    if (this.#interruption.signal.aborted) return false;
    this.#ending = ending;
    this.#interruption.abort();
    return true;
  }
}

async function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
}

import type { BotObservation, Stage } from '#libs/contracts';
import { movesForward } from '#libs/contracts';
import type { TaskExit, TaskHandle, TaskSpec } from '../drivers/driver.js';
import { AllocationFailure, oneLine } from '../errors.js';
import { FileStatusFeed, silentStatusFeed, type StatusFeed } from '../run-files/status-feed.js';
import type { HookContext } from './allocation.hook.js';
import { runHooks } from './allocation.hooks.js';
import type { AttemptEnd } from './allocation.attempts.js';
import type { AllocationRecord, StartedRecord } from './allocation.record.js';
import { reasonOfExit } from './exit-reason.js';
import type { RunnerTools } from './runner-tools.js';

/** The allocation that an attempt is of. */
export interface AttemptOwner {
  readonly record: StartedRecord;
  readonly task: TaskSpec;
  /** Aborts when the allocation is to end. */
  readonly interruption: AbortSignal;
  /** A durable change. */
  changed(record: AllocationRecord): void;
  publishLease(): Promise<void>;
}

/**
 * One try to run the bot: hooks to start, ready hook, then as long as it stays healthy.
 *
 *   run -> started -> ready -> ... -> over: exit, a hook that cannot go on, unhealthy
 *    \________\_________\______\----> left: the allocation is to end, or the agent
 *
 * When it is over, its container may still run: whoever follows makes sure that it is dead.
 */
export class AllocationAttempt {
  readonly #over = new AbortController();
  readonly #signal: AbortSignal;
  #end: AttemptEnd | null = null;
  #handle: TaskHandle | null = null;
  #status: StatusFeed = silentStatusFeed;
  #startedMs: number | null = null;

  constructor(
    private readonly owner: AttemptOwner,
    private readonly tools: RunnerTools,
  ) {
    this.#signal = AbortSignal.any([owner.interruption, this.#over.signal]);
  }

  get handle(): TaskHandle | null {
    return this.#handle;
  }

  get observation(): BotObservation | null {
    return this.#status.observation();
  }

  /** What the bot says about itself. */
  get status(): StatusFeed {
    return this.#status;
  }

  /**
   * Resolves with how it ended by itself, or null when the allocation ended first. Never throws.
   * @param adopted the container that runs already
   */
  async run(adopted: TaskHandle | null): Promise<AttemptEnd | null> {
    try {
      await this.#work(adopted);
    } catch (error) {
      this.#failed(error);
    }
    await aborted(this.#signal);
    await this.#status.close();
    return this.#end;
  }

  async #work(adopted: TaskHandle | null): Promise<void> {
    const { hooks } = this.tools;
    if (adopted === null) await this.#start();
    else this.#follow(adopted);
    const { id } = this.owner.record;
    const context = this.#context();
    await runHooks(hooks.untilReady, context, this.tools.memory(id));
    await runHooks(hooks.whileReady, context, this.tools.memory(id));
  }

  async #start(): Promise<void> {
    const giveBack = await this.tools.slots.take(this.#signal);
    try {
      const { record } = this.owner;
      if (record.state === 'accepted') await this.#move('preparing');
      await runHooks(this.tools.hooks.untilStarted, this.#context(), this.tools.memory(record.id));
    } finally {
      giveBack();
    }
  }

  #context(): HookContext {
    const record = () => this.owner.record;
    const status = () => this.#status;
    const startedMs = () => this.#startedMs;
    return {
      get record() {
        return record();
      },
      get status() {
        return status();
      },
      get startedMs() {
        return startedMs();
      },
      task: this.owner.task,
      signal: this.#signal,
      publishLease: async () => await this.owner.publishLease(),
      started: async (handle) => await this.#started(handle),
      reached: async (stages, ready, tookMs) => await this.#reached(stages, ready, tookMs),
    };
  }

  async #started(handle: TaskHandle): Promise<void> {
    this.#follow(handle);
    this.#startedMs = this.tools.clock.monotonicMs();
    const { record } = this.owner;
    if (movesForward(record.state, 'starting')) await this.#move('starting');
    else this.owner.changed(await this.tools.journal.begun(record, this.#signal));
  }

  /** From now on there is a container to watch. */
  #follow(handle: TaskHandle): void {
    const { files, clock, logger, driver } = this.tools;
    const { id, epoch } = this.owner.record;
    this.#handle = handle;
    if (files !== null) this.#status = new FileStatusFeed({ allocation: id, epoch }, files, clock, logger);
    driver.wait(handle, this.#signal).then(
      (exit) => this.#exited(exit),
      (error: unknown) => this.#failed(error),
    );
  }

  async #reached(stages: readonly Stage[], ready: boolean, tookMs: number | null): Promise<void> {
    const { record } = this.owner;
    this.owner.changed(await this.tools.journal.stages(record, stages, ready, tookMs, this.#signal));
    if (!ready) return;
    const { id, attempts, command } = record;
    this.tools.logger.info({ allocation: id, bot: command.bot, attempt: attempts.attempt }, 'bot is ready');
  }

  async #move(state: 'preparing' | 'starting'): Promise<void> {
    this.owner.changed(await this.tools.journal.move(this.owner.record, state, {}, null, this.#signal));
  }

  #exited(exit: TaskExit): void {
    const { reason, detail } = reasonOfExit(exit);
    const said = this.#status.latest()?.error ?? null;
    const words = said === null ? detail : `${detail} It says: ${said}`;
    this.#isOver({ reason, detail: words, exitCode: exit.exitCode, hopeless: false });
  }

  #failed(error: unknown): void {
    if (this.#signal.aborted) return;
    if (error instanceof AllocationFailure) {
      const { reason, detail, hopeless } = error;
      this.#isOver({ reason, detail, exitCode: null, hopeless });
      return;
    }
    this.tools.logger.error({ err: error, allocation: this.owner.record.id }, 'allocation met a defect');
    const detail = `The agent met a defect: ${oneLine(error)}`;
    this.#isOver({ reason: 'start-failed', detail, exitCode: null, hopeless: false });
  }

  /** The first way it ends is how it ended. */
  #isOver(end: AttemptEnd): void {
    if (this.#signal.aborted) return;
    // Part of it may be the bot's own words, which are to reach a database that takes no control characters.
    this.#end = { ...end, detail: oneLine(end.detail) };
    this.#over.abort();
  }
}

export async function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
}

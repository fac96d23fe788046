import { Inject, Injectable } from '@nestjs/common';
import { CLOCK, type Clock } from '#libs/clock';
import { movesForward, type EndReason } from '#libs/contracts';
import { LOGGER, type Logger } from '#libs/telemetry';
import { DRIVER, type Driver, type TaskHandle, type TaskSpec, type TaskStatus } from '../drivers/driver.js';
import { isAbort } from '../errors.js';
import { LeaseKeeper } from '../leases/lease-keeper.js';
import { LastLogs } from '../logs/last-logs.js';
import { RUN_FILES, type RunFiles } from '../run-files/run-files.js';
import { AllocationJournal } from './allocation.journal.js';
import type { AllocationRecord, StartedRecord } from './allocation.record.js';

/** How an allocation ends. */
export interface Ending {
  readonly state: 'stopped' | 'failed';
  readonly reason: EndReason;
  readonly detail: string | null;
  readonly exitCode: number | null;
  /** From SIGTERM to SIGKILL; 0 kills at once. */
  readonly graceMs: number;
  readonly actor: string;
}

export interface TakedownSignals {
  /** Told with each new state as soon as it is durable. */
  readonly onChange: (record: AllocationRecord) => void;
  /** No more grace. */
  readonly urgency: AbortSignal;
  /** The agent ends; the next one goes on. */
  readonly letGo: AbortSignal;
}

const pause_ms_first = 200;
const pause_ms_max = 5000;

/**
 * Ends an allocation for certain:
 *
 *   stopping is told (when asked) -> container dead -> end is told -> lease released -> all of it removed
 *
 * The end is told only when the container is surely dead, because the account may be given away from then on. What
 * the driver cannot do now is tried again without end: there is no other way to be sure.
 */
@Injectable()
export class AllocationTakedown {
  constructor(
    @Inject(DRIVER) private readonly driver: Driver,
    private readonly journal: AllocationJournal,
    private readonly leases: LeaseKeeper,
    private readonly lastLogs: LastLogs,
    @Inject(RUN_FILES) private readonly files: RunFiles,
    @Inject(CLOCK) private readonly clock: Clock,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  /** Resolves when all of it is removed, or when the agent lets go. Never throws. */
  async run(
    record: StartedRecord,
    task: TaskSpec,
    handle: TaskHandle | null,
    ending: Ending,
    signals: TakedownSignals,
  ): Promise<void> {
    let latest: AllocationRecord = record;
    try {
      // A full disk must not keep a bot alive: the stop goes on when `stopping` cannot be written.
      latest = await this.#announce(record, ending);
      if (latest !== record) signals.onChange(latest);
      const dead = await this.#certainly(record.id, signals, () =>
        this.#kill(record, task, handle, ending, signals),
      );
      const exitCode = ending.exitCode ?? dead?.exitCode ?? null;
      const { reason, detail, actor } = ending;
      latest = await this.#certainly(record.id, signals, () =>
        this.journal.move(latest, ending.state, { reason, detail, exitCode }, actor),
      );
      this.leases.release(record.id);
      signals.onChange(latest);
      this.logger.info(
        { allocation: record.id, bot: task.bot, state: ending.state, reason, detail, exitCode },
        'allocation ended',
      );
      if (handle !== null) await this.#remove(record.id, handle, signals);
      await this.#certainly(record.id, signals, async () => await this.files?.remove(record.id));
    } catch (error) {
      if (!isAbort(error)) this.logger.error({ err: error, allocation: record.id }, 'takedown met a defect');
    }
  }

  /**
   * Between two attempts: kills what runs and removes all of it, so that the next one finds nothing; the allocation and
   * its lease go on. Throws AbortError when interrupted, having done a part; `run` does the rest then.
   * @param killed called once nothing runs any more
   */
  async clear(
    record: StartedRecord,
    task: TaskSpec,
    handle: TaskHandle | null,
    interruption: AbortSignal,
    killed: () => Promise<void>,
  ): Promise<void> {
    const signals = { letGo: interruption };
    const now = { graceMs: 0 };
    await this.#certainly(record.id, signals, () =>
      this.#kill(record, task, handle, now, { urgency: interruption, letGo: interruption }),
    );
    await killed();
    if (handle !== null) await this.#remove(record.id, handle, signals);
    await this.#certainly(record.id, signals, async () => await this.files?.clear(record.id));
  }

  async #remove(
    allocation: string,
    handle: TaskHandle,
    signals: Pick<TakedownSignals, 'letGo'>,
  ): Promise<void> {
    await this.lastLogs.save(handle);
    await this.#certainly(allocation, signals, () => this.driver.destroy(handle));
  }

  async #announce(record: StartedRecord, ending: Ending): Promise<AllocationRecord> {
    if (ending.state !== 'stopped' || !movesForward(record.state, 'stopping')) return record;
    try {
      return await this.journal.move(record, 'stopping', { reason: ending.reason }, ending.actor);
    } catch (error) {
      this.logger.error({ err: error, allocation: record.id }, 'stopping could not be recorded');
      return record;
    }
  }

  /** Resolves once nothing of it runs: with how the container ended, or null when there is none. */
  async #kill(
    record: StartedRecord,
    task: TaskSpec,
    handle: TaskHandle | null,
    ending: Pick<Ending, 'graceMs'>,
    { urgency, letGo }: Pick<TakedownSignals, 'urgency' | 'letGo'>,
  ): Promise<TaskStatus | null> {
    if (handle === null) {
      // Nothing is made before it is being prepared; from then on there may be things the agent never heard of.
      if (record.state !== 'accepted') await this.driver.discard(task);
      return null;
    }
    const before = await this.driver.inspect(handle);
    if (!runs(before)) return before;
    if (ending.graceMs > 0 && !urgency.aborted)
      await this.#stopGently(handle, ending.graceMs, urgency, letGo);
    else await this.driver.kill(handle);
    const after = await this.driver.inspect(handle);
    if (runs(after)) throw new Error('The container is still running.');
    return after;
  }

  async #stopGently(
    handle: TaskHandle,
    graceMs: number,
    urgency: AbortSignal,
    letGo: AbortSignal,
  ): Promise<void> {
    const gentle = this.driver.stop(handle, graceMs);
    const hurried = this.#killWhen(handle, urgency);
    gentle.catch(() => undefined);
    hurried.kill.catch(() => undefined);
    try {
      await Promise.race([gentle, hurried.kill, whenAborted(letGo)]);
    } finally {
      hurried.forget();
    }
    letGo.throwIfAborted();
  }

  #killWhen(handle: TaskHandle, urgency: AbortSignal): { kill: Promise<void>; forget: () => void } {
    let forget: () => void = () => undefined;
    const kill = new Promise<void>((resolve, reject) => {
      const now = () => {
        this.driver.kill(handle).then(resolve, reject);
      };
      forget = () => urgency.removeEventListener('abort', now);
      if (urgency.aborted) now();
      else urgency.addEventListener('abort', now, { once: true });
    });
    return { kill, forget };
  }

  /** Does a step until it succeeds. Throws AbortError when the agent lets go. */
  async #certainly<T>(
    allocation: string,
    { letGo }: Pick<TakedownSignals, 'letGo'>,
    step: () => Promise<T>,
  ): Promise<T> {
    for (let pause_ms = pause_ms_first; ; pause_ms = Math.min(pause_ms * 2, pause_ms_max)) {
      letGo.throwIfAborted();
      try {
        return await step();
      } catch (error) {
        letGo.throwIfAborted();
        this.logger.error({ err: error, allocation }, 'a step of taking down an allocation failed');
        await this.clock.sleep(pause_ms, letGo);
      }
    }
  }
}

const runs = (status: TaskStatus): boolean => status.state === 'running' || status.state === 'paused';

async function whenAborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
}

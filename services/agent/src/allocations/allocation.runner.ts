import type { BotObservation, EndReason } from '#libs/contracts';
import type { TaskHandle, TaskSpec } from '../drivers/driver.js';
import { AllocationFailure, isAbort, oneLine } from '../errors.js';
import { ContainerLease } from '../leases/container-lease.js';
import { aborted, AllocationAttempt } from './allocation.attempt.js';
import type { AttemptEnd } from './allocation.attempts.js';
import { foundWith, type Beginning } from './allocation.beginning.js';
import {
  graceLeftMs,
  type AllocationRecord,
  type StartedRecord,
  type StopWish,
} from './allocation.record.js';
import type { Ending } from './allocation.takedown.js';
import type { RunnerTools } from './runner-tools.js';

/** Longest wait until an older allocation of the account is dead. */
const predecessor_wait_ms_max = 60_000;

/**
 * Runs one allocation from its command to its end:
 *
 *   accepted -> preparing -> starting -> running -> stopping -> stopped
 *      |            |            |          |           |
 *      |     hooks to start   ready hook    |      asked: SIGTERM, grace, SIGKILL
 *      +------------+------------+----------+-----------+---> failed
 *                                                lease ended, or the bot ended by itself once too often
 *
 * A bot that ends by itself is begun again in place, as the next attempt; the state stays what it has reached:
 *
 *   attempt n over -> told, durable -> container dead and gone -> delay -> attempt n + 1, with all hooks anew
 *
 * Everything that ends the allocation (a stop, the lease, the policy, the agent's own end) is one *interruption*; the
 * first one decides how it ends, later ones can only make it quicker. The end is told once the container is dead.
 */
export class AllocationRunner {
  readonly id: string;
  readonly account: string;
  /** Resolves when it has ended and is removed, or when the agent has let go of it. */
  readonly done: Promise<void>;
  /** Ends attempts and waits. */
  readonly #interruption = new AbortController();
  /** Ends the grace of a stop. */
  readonly #urgency = new AbortController();
  /** The agent ends. */
  readonly #letGo = new AbortController();
  readonly #lease: ContainerLease;
  #record: StartedRecord;
  #ending: Ending | null = null;
  #attempt: AllocationAttempt | null = null;
  /** What an attempt that is over has left, also one that another agent had begun. */
  #found: TaskHandle | null = null;

  constructor(
    record: StartedRecord,
    private readonly tools: RunnerTools,
    beginning: Beginning,
    predecessor: Promise<void>,
  ) {
    this.#record = record;
    this.id = record.id;
    this.account = record.account;
    const { files, clock, leases } = tools;
    const published = beginning.kind === 'adopted' || beginning.kind === 'ended';
    const ended = () => this.#leaseEnded();
    this.#lease = new ContainerLease(record.id, record.epoch, files, clock, ended, { published });
    if (beginning.kind !== 'over') {
      leases.hold(this.#lease, 'deadlineMs' in beginning ? beginning.deadlineMs : null);
    }
    this.done = this.#live(beginning, predecessor);
  }

  get record(): AllocationRecord {
    return this.#record;
  }

  get handle(): TaskHandle | null {
    return this.#attempt?.handle ?? this.#found;
  }

  get observation(): BotObservation | null {
    return this.#attempt?.observation ?? null;
  }

  /** Ends it as asked. A second wish can only shorten the grace. */
  stop(wish: StopWish): void {
    const { reason, detail, actor } = wish;
    const graceMs = graceLeftMs(wish, this.tools.clock.boottimeMs());
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
    if (this.#ending === null) return;
    await this.tools.takedown.run(this.#record, this.#task(), this.handle, this.#ending, {
      urgency: this.#urgency.signal,
      letGo: this.#letGo.signal,
      onChange: (record) => this.#changed(record),
    });
    // Nobody need hurry any more.
    this.#urgency.abort();
  }

  /** One attempt after the other, until the policy allows no more or something interrupts. */
  async #work(beginning: Beginning, predecessor: Promise<void>): Promise<void> {
    if (this.#record.stop !== null) this.stop(this.#record.stop);
    this.#found = foundWith(beginning, this.#record);
    if (beginning.kind === 'over') {
      this.#interrupt(beginning.ending);
      return;
    }
    let end: AttemptEnd | null;
    if (beginning.kind === 'ended') end = beginning.end;
    else if (beginning.kind === 'adopted') end = await this.#try(beginning.handle);
    else {
      await this.#waitFor(predecessor);
      // The agent before has left it to us to wait, and to see to it that nothing of the attempt before is there.
      if (this.#record.attempts.dueBoottimeMs !== null) {
        await this.tools.journal.anew(this.#record, this.#interruption.signal);
        await this.#clearAndWait();
      }
      end = await this.#try(null);
    }
    while (end !== null && (await this.#again(end))) end = await this.#try(null);
  }

  async #try(adopted: TaskHandle | null): Promise<AttemptEnd | null> {
    const record = () => this.#record;
    const owner = {
      get record() {
        return record();
      },
      task: this.#task(),
      interruption: this.#interruption.signal,
      changed: (changed: AllocationRecord) => {
        this.#record = this.#with(changed);
      },
      publishLease: async () => await this.#publishLease(),
    };
    this.#attempt = new AllocationAttempt(owner, this.tools);
    return await this.#attempt.run(adopted);
  }

  /** After an attempt: waits until the next one may begin, or ends the allocation and says no. */
  async #again(end: AttemptEnd): Promise<boolean> {
    this.#interruption.signal.throwIfAborted();
    const next = await this.tools.restarts.next(this.#record, end, this.#interruption.signal);
    if (next === null) {
      this.#fail(end.reason, end.detail, end.exitCode);
      return false;
    }
    // What the attempt before has said is nothing that the next one says.
    this.#found = this.handle;
    this.#attempt = null;
    this.#changed(next);
    await this.#clearAndWait();
    return true;
  }

  /**
   * What the attempt before has left is dead and gone, its lease file included, before the next one begins. An
   * interruption leaves the rest to the takedown.
   */
  async #clearAndWait(): Promise<void> {
    const { signal } = this.#interruption;
    await this.tools.takedown.clear(this.#record, this.#task(), this.handle, signal, async () => {
      await this.#lease.withdraw();
    });
    this.#found = null;
    const { clock } = this.tools;
    const { attempts, command } = this.#record;
    // A boot in between has begun to count anew; chance has at most doubled the delay.
    const wait_ms_max = command.restart.delayMaxMs * 2;
    const left_ms = Math.min((attempts.dueBoottimeMs ?? 0) - clock.boottimeMs(), wait_ms_max);
    if (left_ms > 0) await clock.sleep(left_ms, signal);
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

  /** The scheduler hears of it at once. */
  #changed(record: AllocationRecord): void {
    this.#record = this.#with(record);
    this.tools.heartbeats.call();
  }

  #with(changed: AllocationRecord): StartedRecord {
    return { ...changed, command: this.#record.command };
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

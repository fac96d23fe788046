import { Inject, Injectable } from '@nestjs/common';
import { CLOCK, type Clock } from '#libs/clock';
import type { EventData, PrepareCommand } from '#libs/contracts';
import { LOGGER, type Logger } from '#libs/telemetry';
import { driverStep } from '../allocations/hooks/driver-step.js';
import { WorkSlots } from '../allocations/work-slots.js';
import { DRIVER, type Driver, type TaskSpec } from '../drivers/driver.js';
import { AllocationFailure, isAbort, oneLine } from '../errors.js';
import { EventSpool } from '#libs/spool';
import { Identity } from '../identity/identity.js';
import { AgentDatabase } from '../state/agent.database.js';
import { PreparationsRepository, type PreparationRecord } from '../state/preparations.repository.js';

type FailureCode = NonNullable<EventData<'tradefleet.move.prepare-failed'>['code']>;

/** A lane of their own, and a narrow one: whatever waits here, no start and no stop waits behind it. */
export const preparations_parallel_max = 2;
/** More than a scheduler has under way to one host; what is beyond is refused, so that it chooses another. */
export const preparations_waiting_max = 200;

/** What can be made ready before there is an allocation; networks and names belong to one. */
const steps = ['image', 'volume'] as const;

/**
 * Makes ready what bots will need that are about to move here. Starts nothing and takes no name: the bot may still be
 * trading where it is. What is never used is left to housekeeping, as what an ended bot leaves.
 */
@Injectable()
export class PreparationService {
  readonly #slots = new WorkSlots(preparations_parallel_max);
  readonly #working = new Map<string, Promise<void>>();
  readonly #closing = new AbortController();

  constructor(
    @Inject(DRIVER) private readonly driver: Driver,
    private readonly db: AgentDatabase,
    private readonly preparations: PreparationsRepository,
    private readonly spool: EventSpool,
    private readonly identity: Identity,
    @Inject(CLOCK) private readonly clock: Clock,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  /**
   * Inside a commit: it is to be made. Gives what to do once that is durable; null when there is nothing to do. The
   * scheduler asks again while it hears nothing: what was made is told again, and what failed is tried again.
   */
  record(command: PrepareCommand, traceparent: string | null): (() => void) | null {
    if (this.preparations.isWanted(command.move)) return null;
    const record = { command, traceparent };
    if (this.preparations.isMade(command.move)) {
      this.#tell(record, 0, null);
      return null;
    }
    if (this.preparations.countWanted() >= preparations_waiting_max) {
      this.#tell(record, 0, { code: 'too-many', detail: 'This host has too much to prepare already.' });
      return null;
    }
    this.preparations.want(record, this.clock.wallMs());
    return () => this.#begin(record);
  }

  /** Goes on with what an earlier agent of this host was asked for. */
  start(): void {
    for (const record of this.preparations.wanted()) this.#begin(record);
  }

  /** Lets go; resolves when no step of the driver is under way. The next agent goes on. */
  async close(): Promise<void> {
    this.#closing.abort();
    await Promise.all(this.#working.values());
  }

  #begin(record: PreparationRecord): void {
    const { move } = record.command;
    if (this.#working.has(move) || this.#closing.signal.aborted) return;
    const work = this.#make(record)
      .catch((error: unknown) => {
        // It stays wanted, and the next agent tries again; the scheduler goes on without it after its time.
        if (!isAbort(error)) this.logger.error({ err: error, move }, 'preparation was lost sight of');
      })
      .finally(() => this.#working.delete(move));
    this.#working.set(move, work);
  }

  async #make(record: PreparationRecord): Promise<void> {
    const giveBack = await this.#slots.take(this.#closing.signal);
    const begun_ms = this.clock.monotonicMs();
    try {
      const failure = await this.#failureOf(record.command);
      this.#closing.signal.throwIfAborted();
      const took_ms = Math.round(this.clock.monotonicMs() - begun_ms);
      await this.db.commit(
        () => {
          this.preparations.end(record.command.move, failure === null);
          this.#tell(record, took_ms, failure);
        },
        { clock: this.clock, signal: this.#closing.signal },
      );
    } finally {
      giveBack();
    }
  }

  async #failureOf(command: PrepareCommand): Promise<{ code: FailureCode; detail: string } | null> {
    const task = taskOf(command);
    try {
      for (const step of steps) {
        if (this.clock.wallMs() > Date.parse(command.expiresAt)) {
          return { code: 'expired', detail: `There was no time for it before ${command.expiresAt}.` };
        }
        const options = { clock: this.clock, signal: this.#closing.signal };
        await driverStep(() => this.driver.prepare(step, task), options);
      }
      return null;
    } catch (error) {
      if (!(error instanceof AllocationFailure)) throw error;
      const code = error.reason === 'image-missing' ? 'image-missing' : 'prepare-failed';
      return { code, detail: oneLine(error.detail) };
    }
  }

  /** Inside a commit. */
  #tell(
    { command, traceparent }: PreparationRecord,
    tookMs: number,
    failure: { code: FailureCode; detail: string } | null,
  ): void {
    this.spool.append({
      type: failure === null ? 'tradefleet.move.prepared' : 'tradefleet.move.prepare-failed',
      subjectId: command.move,
      data: {
        move: command.move,
        host: this.identity.host,
        account: command.account,
        code: failure?.code ?? null,
        detail: failure?.detail ?? null,
        tookMs,
      },
      actor: command.actor,
      traceparent,
    });
  }
}

/**
 * The part of a task that image and volume depend on. It has no allocation yet: epoch 0 is below every real one, so
 * that no driver could ever take it for something to run.
 */
const taskOf = (command: PrepareCommand): TaskSpec => ({
  allocation: command.move,
  tenant: command.tenant,
  bot: command.bot,
  account: command.account,
  epoch: 0,
  host: command.host,
  runtime: command.runtime,
  version: command.version,
  resources: command.resources,
  runDir: '',
  stopGraceMs: 0,
});

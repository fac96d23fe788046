import { Inject, Injectable } from '@nestjs/common';
import { CLOCK, type Clock } from '#libs/clock';
import { ProblemError, isLive, type Command, type StartCommand, type StopCommand } from '#libs/contracts';
import { Poison, header, type Delivery } from '#libs/messaging';
import { LOGGER, isTraceparent, requestContext, type Logger } from '#libs/telemetry';
import { AllocationJournal } from '../allocations/allocation.journal.js';
import { firstAttempt } from '../allocations/allocation.attempts.js';
import { isStarted, type AllocationRecord, type StopWish } from '../allocations/allocation.record.js';
import { AllocationsService } from '../allocations/allocations.service.js';
import { NoRoom } from '../errors.js';
import { lacksRoom } from '#libs/spool';
import { EventRoom } from '../events/event-room.js';
import { PreparationService } from '../preparation/preparation.service.js';
import { AgentDatabase } from '../state/agent.database.js';
import { AllocationsRepository } from '../state/allocations.repository.js';
import { CommandsRepository } from '../state/commands.repository.js';
import { FencesRepository } from '../state/fences.repository.js';
import { CommandRejections } from './command.rejections.js';
import { CommandVerifier } from './command.verifier.js';

/** What a recorded command leads to, once it is durable. */
type Effect = (() => void) | null;

/**
 * Takes commands in: verified, recorded, then acknowledged, then obeyed. A second delivery, and a command for an
 * allocation that is known already, change nothing.
 */
@Injectable()
export class CommandIntake {
  constructor(
    private readonly verifier: CommandVerifier,
    private readonly rejections: CommandRejections,
    private readonly db: AgentDatabase,
    private readonly commands: CommandsRepository,
    private readonly fences: FencesRepository,
    private readonly records: AllocationsRepository,
    private readonly journal: AllocationJournal,
    private readonly allocations: AllocationsService,
    private readonly preparations: PreparationService,
    private readonly room: EventRoom,
    @Inject(CLOCK) private readonly clock: Clock,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  /**
   * Resolves once the command is durable, so that it may be acknowledged.
   * @throws Poison for what does not verify (reported already), NoRoom to have it delivered again later
   */
  async take(delivery: Delivery): Promise<void> {
    try {
      const command = await this.verifier.verify(delivery);
      const effect = await this.#recorded(command, delivery);
      this.logger.info({ command: command.id, verb: command.verb, ...aboutOf(command) }, 'command taken');
      effect?.();
    } catch (error) {
      if (!(error instanceof ProblemError)) throw error;
      await this.rejections.report(error, delivery);
      throw new Poison(error.code, { cause: error });
    }
  }

  async #recorded(command: Command, delivery: Delivery): Promise<Effect> {
    try {
      return await this.db.commit(() => this.#record(command, delivery));
    } catch (error) {
      if (!lacksRoom(error)) throw error;
      // No full disk keeps a bot alive. It comes again until it is written, which shortens nothing any more.
      if (command.verb === 'stop') this.allocations.stop(command.allocation, this.#wishOf(command));
      throw new NoRoom('disk_full', { cause: error });
    }
  }

  /** Inside a commit. */
  #record(command: Command, delivery: Delivery): Effect {
    if (this.commands.isRecorded(command.id)) return null;
    const effect = this.#effectOf(command, delivery);
    this.commands.record(command, this.clock.wallMs());
    // A preparation has no epoch: the account is still another host's.
    if (command.verb !== 'prepare') this.fences.raise(command.account, command.epoch);
    return effect;
  }

  #effectOf(command: Command, delivery: Delivery): Effect {
    switch (command.verb) {
      case 'start':
        return this.#start(command, delivery);
      case 'stop':
        return this.#stop(command);
      case 'prepare':
        this.room.require();
        return this.preparations.record(command, traceparentOf(delivery));
    }
  }

  #start(command: StartCommand, delivery: Delivery): Effect {
    const known = this.records.get(command.allocation);
    // Sent again by a scheduler that had not heard of it; or stopped before it was ever started.
    if (known !== null) return null;
    const seen = this.fences.epoch(command.account);
    // An epoch belongs to one allocation: the same one again under another id is as old as a lower one.
    if (command.epoch <= seen) {
      throw new ProblemError('stale_epoch', `Epoch ${command.epoch} has passed: epoch ${seen} was seen.`);
    }
    this.room.require();
    const record: AllocationRecord = { ...newRecord(command), traceparent: traceparentOf(delivery) };
    this.journal.open(record);
    return () => {
      // Read again: a stop may have been recorded in the same commit.
      const latest = this.records.get(record.id);
      if (latest !== null && isStarted(latest)) this.allocations.begin(latest);
    };
  }

  /**
   * A stop names one allocation and can do no harm to another, so it is obeyed whatever epoch was seen since: the
   * older allocation of an account is just what it may be about.
   */
  #stop(command: StopCommand): Effect {
    const known = this.records.get(command.allocation);
    if (known === null) {
      // Remembered as ended, so that a start that comes late starts nothing; the heartbeat tells.
      const { reason } = command;
      this.journal.open({ ...newRecord(command), command: null, state: 'stopped', reason });
      return null;
    }
    if (!isLive(known.state)) return null;
    const wish = this.#wishOf(command);
    this.records.wishStop(command.allocation, wish);
    return () => {
      this.allocations.stop(command.allocation, wish);
    };
  }

  #wishOf({ reason, graceMs, actor }: StopCommand): StopWish {
    return { reason, graceMs, actor, detail: null, askedBoottimeMs: this.clock.boottimeMs() };
  }
}

const aboutOf = (command: Command): { move: string } | { allocation: string } =>
  command.verb === 'prepare' ? { move: command.move } : { allocation: command.allocation };

const newRecord = (command: StartCommand | StopCommand): AllocationRecord => ({
  id: command.allocation,
  account: command.account,
  epoch: command.epoch,
  command: command.verb === 'start' ? command : null,
  state: 'accepted',
  stage: null,
  attempts: firstAttempt,
  reason: null,
  detail: null,
  exitCode: null,
  stop: null,
  traceparent: null,
});

function traceparentOf(delivery: Delivery): string | null {
  const traceparent = header(delivery.headers, 'traceparent');
  if (traceparent !== undefined && isTraceparent(traceparent)) return traceparent;
  // The trace under which it is being taken in; what follows from one command stays together.
  return requestContext.getStore()?.traceparent ?? null;
}

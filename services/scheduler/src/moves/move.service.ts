import { Inject, Injectable } from '@nestjs/common';
import { CLOCK, type Clock } from '#libs/clock';
import { Outbox, type Transaction } from '#libs/persistence';
import { AllocationRepository } from '../allocations/allocation.repository.js';
import { CommandFactory } from '../commands/command.factory.js';
import { LeaderTransaction } from '../leadership/leader-transaction.repository.js';
import { OperationTracker } from '../operations/operation.tracker.js';
import { RUNTIME_SETTINGS, type RuntimeSettings } from '../runtime.settings.js';
import { MovePlanning } from './move-planning.service.js';
import { MoveRepository, type MoveEnd, type PreparingMove } from './move.repository.js';
import { moveEventData, type MoveIdentity, type MoveStanding, type NewMove } from './move.rows.js';

const eventOfEnd = {
  cancelled: 'tradefleet.move.cancelled',
  failed: 'tradefleet.move.failed',
} as const;

/** What the leader does to moves. Each method is one transaction, so that a crash leaves either nothing or all of it. */
@Injectable()
export class MoveService {
  constructor(
    private readonly transaction: LeaderTransaction,
    private readonly moves: MoveRepository,
    private readonly planning: MovePlanning,
    private readonly allocations: AllocationRepository,
    private readonly commands: CommandFactory,
    private readonly outbox: Outbox,
    private readonly operations: OperationTracker,
    @Inject(CLOCK) private readonly clock: Clock,
    @Inject(RUNTIME_SETTINGS) private readonly settings: RuntimeSettings,
  ) {}

  /** Holds room for these bots on their targets. Answers how many; the others, or their targets, changed meanwhile. */
  async plan(moves: readonly NewMove[]): Promise<number> {
    return this.transaction.run(async (tx) => {
      const planned = await this.planning.plan(tx, moves, this.now());
      await this.tell(tx, 'tradefleet.move.planned', planned);
      return planned.length;
    });
  }

  /** Sends the targets their prepare commands. */
  async prepare(ids: readonly string[]): Promise<number> {
    return this.transaction.run(async (tx) =>
      this.send(tx, await this.moves.prepare(tx, ids, this.now(), this.settings.movePrepareMs)),
    );
  }

  /** Sends them once more, in case they or their answers were lost; a target that is ready says so again. */
  async askAgain(ids: readonly string[]): Promise<number> {
    return this.transaction.run(async (tx) => this.send(tx, await this.moves.askAgain(tx, ids, this.now())));
  }

  /**
   * Tells the old allocations to stop. From here on the bot runs nowhere until placement has put it on the target,
   * which the database refuses while the old one lives.
   */
  async switchOver(moves: readonly { move: MoveStanding; detail: string | null }[]): Promise<number> {
    return this.transaction.run(async (tx) => {
      const stops = moves.map(({ move }) => ({
        id: move.allocation,
        reason: 'asked' as const,
        actor: move.by,
      }));
      const stopping = await this.allocations.requestStop(tx, stops, this.now());
      if (stopping.length === 0) return 0;
      const details = new Map(moves.map(({ move, detail }) => [move.id, detail]));
      const told = stopping.map((allocation) => allocation.id);
      const switched = await this.moves.switched(tx, told, details, this.now());
      await this.outbox.commands(tx, await Promise.all(stopping.map((one) => this.commands.stop(one))));
      await this.tell(tx, 'tradefleet.move.switching', switched);
      await this.operations.botsChanged(
        tx,
        stopping.map((allocation) => allocation.bot),
      );
      return switched.length;
    });
  }

  /** Ends moves and tells how; for one that is done, with the time its bot did not run. */
  async end(ends: readonly MoveEnd[]): Promise<number> {
    return this.transaction.run(async (tx) => await this.endIn(tx, ends));
  }

  /** As `end`, in a transaction of the leader that has begun. */
  async endIn(tx: Transaction, ends: readonly MoveEnd[]): Promise<number> {
    const ended = await this.moves.end(tx, ends, this.now());
    if (ended.length === 0) return 0;
    await this.outbox.events(
      tx,
      ended.map((move) =>
        move.state === 'done'
          ? {
              type: 'tradefleet.bot.moved' as const,
              id: move.bot,
              actor: move.by,
              data: { ...moveEventData(move), gapMs: move.gapMs ?? 0 },
            }
          : { type: eventOfEnd[move.state], id: move.id, actor: move.by, data: moveEventData(move) },
      ),
    );
    await this.operations.botsChanged(
      tx,
      ended.map((move) => move.bot),
    );
    return ended.length;
  }

  private async send(tx: Transaction, preparing: readonly PreparingMove[]): Promise<number> {
    const commands = await Promise.all(preparing.map((move) => this.commands.prepare(move)));
    if (commands.length > 0) await this.outbox.commands(tx, commands);
    return preparing.length;
  }

  private async tell(
    tx: Transaction,
    type: 'tradefleet.move.planned' | 'tradefleet.move.switching',
    moves: readonly MoveIdentity[],
  ): Promise<void> {
    if (moves.length === 0) return;
    await this.outbox.events(
      tx,
      moves.map((move) => ({ type, id: move.id, actor: move.by, data: moveEventData(move) })),
    );
  }

  private now(): Date {
    return new Date(this.clock.wallMs());
  }
}

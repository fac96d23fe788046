import { Injectable } from '@nestjs/common';
import type { Transaction } from '#libs/persistence';
import { HostRoomRepository } from '../allocations/host-room.repository.js';
import { MoveRepository } from './move.repository.js';
import type { MoveIdentity, NewMove } from './move.rows.js';

/**
 * Holds room for moves. A drain, a rebalance and placement each choose on a snapshot of their own, so the room is looked
 * at once more where it is taken: under the locks of the targets. What is held is never more than a target has, so no
 * other move and no placement can take away what a bot is going to be stopped for.
 */
@Injectable()
export class MovePlanning {
  constructor(
    private readonly rooms: HostRoomRepository,
    private readonly moves: MoveRepository,
  ) {}

  /**
   * Plans those moves whose targets have the room; gives them. The others are left out without an error, as are those
   * of allocations that changed since. Takes locks of hosts: nothing after them in the order may be locked before.
   */
  async plan(tx: Transaction, moves: readonly NewMove[], now: Date): Promise<MoveIdentity[]> {
    await this.rooms.hold(
      tx,
      moves.map((move) => move.to),
    );
    const fitting = await this.rooms.fitting(tx, await this.moves.needs(tx, moves));
    const fits = new Set(fitting.map((need) => need.move));
    return this.moves.plan(
      tx,
      moves.filter((move) => fits.has(move.id)),
      now,
    );
  }
}

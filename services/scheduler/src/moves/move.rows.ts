import type {
  AllocationState,
  DesiredState,
  EventData,
  HostState,
  MoveReason,
  MoveState,
} from '#libs/contracts';

/** What a move is, whatever becomes of it. */
export interface MoveIdentity {
  readonly id: string;
  readonly bot: string;
  readonly tenant: string;
  readonly account: string;
  /** The allocation to leave. */
  readonly allocation: string;
  readonly from: string;
  readonly to: string;
  readonly reason: MoveReason;
  readonly operation: string | null;
  /** Who asked for the drain or the rebalance. */
  readonly by: string;
  readonly prepared: boolean;
  readonly detail: string | null;
}

/** A move that is under way, with all that decides how it goes on. */
export interface MoveStanding extends MoveIdentity {
  readonly state: MoveState;
  readonly prepare: boolean;
  readonly prepareBy: Date | null;
  /** When it came into this state; while it prepares, when the target was last asked to. */
  readonly updatedAt: Date;
  readonly createdAt: Date;
  readonly switchedAt: Date | null;
  /** Of the bot; null when it is gone. */
  readonly desired: DesiredState | null;
  readonly locked: boolean;
  readonly oldState: AllocationState;
  /** The old allocation was told to stop. */
  readonly oldTold: boolean;
  readonly oldEndedAt: Date | null;
  /** Null when the host is gone. */
  readonly targetState: HostState | null;
  /** The host to leave is being drained. */
  readonly draining: boolean;
  readonly deadlineAt: Date | null;
  readonly onDeadline: 'keep' | 'stop';
  /** Where a newer allocation of the account runs or has run, and since when; null before. */
  readonly newHost: string | null;
  readonly newRunningAt: Date | null;
}

/** A move that is to be. */
export interface NewMove {
  readonly id: string;
  readonly allocation: string;
  readonly to: string;
  readonly reason: MoveReason;
  readonly operation: string | null;
  readonly by: string;
  readonly prepare: boolean;
  readonly detail: string | null;
}

/** Data of an event about the move. */
export const moveEventData = (
  move: MoveIdentity,
  over: Partial<Pick<MoveIdentity, 'to' | 'prepared' | 'detail'>> = {},
): EventData<'tradefleet.move.planned'> => ({
  move: move.id,
  tenant: move.tenant,
  bot: move.bot,
  account: move.account,
  from: move.from,
  to: over.to ?? move.to,
  why: move.reason,
  operation: move.operation,
  prepared: over.prepared ?? move.prepared,
  detail: (over.detail === undefined ? move.detail : over.detail)?.slice(0, 300) ?? null,
});

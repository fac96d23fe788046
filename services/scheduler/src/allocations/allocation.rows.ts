import type {
  AllocationEventData,
  AllocationState,
  AttemptExit,
  Constraint,
  EndReason,
  Parameters,
  Policies,
  PublicJwk,
  Resources,
  RuntimeName,
  Stage,
} from '#libs/contracts';

/** What binds a message to one allocation. */
export interface AllocationIdentity {
  readonly id: string;
  readonly tenant: string;
  readonly bot: string;
  readonly account: string;
  readonly host: string;
  readonly epoch: number;
}

/** A bot that may be placed, as read and locked in the transaction that places it. */
export interface PlaceableBot {
  readonly bot: string;
  readonly generation: number;
  readonly tenant: string;
  readonly account: string;
  readonly server: string;
  readonly login: number;
  readonly runtime: RuntimeName;
  /** Null for the host's default image. */
  readonly version: string | null;
  readonly parameters: Parameters;
  readonly resources: Resources;
  readonly constraints: Constraint[];
  readonly policies: Policies;
  /** Who last changed what should run. */
  readonly changedBy: string;
}

/** A new allocation with all its start command needs. */
export interface PlacedAllocation extends PlaceableBot {
  readonly id: string;
  readonly host: string;
  readonly epoch: number;
  /** Of the host: its grants are sealed to it. */
  readonly sealingKey: PublicJwk;
}

/** A live allocation that is to stop, with all its stop command needs. */
export interface StoppingAllocation extends AllocationIdentity {
  readonly stopReason: 'asked' | 'account-locked' | 'host-lost' | 'stale-epoch' | 'rejected';
  readonly graceMs: number;
  readonly actor: string;
}

/** How an allocation got on, from whatever source. */
export interface AllocationAdvance {
  readonly id: string;
  readonly state: AllocationState;
  readonly stage: Stage | null;
  readonly attempt: number;
  /** How the attempt before ended, where the source says so. */
  readonly lastExit: AttemptExit | null;
  readonly reason: EndReason | null;
  readonly detail: string | null;
  readonly exitCode: number | null;
  /** It was running at some time, also when it has gone on since. */
  readonly ran: boolean;
}

/** Data of an event about the allocation. */
export const eventData = (
  identity: AllocationIdentity,
  state: AllocationState,
  end: {
    reason?: EndReason | null;
    detail?: string | null;
    stage?: Stage | null;
    attempt?: number;
    exitCode?: number | null;
  } = {},
): AllocationEventData => ({
  allocation: identity.id,
  tenant: identity.tenant,
  bot: identity.bot,
  account: identity.account,
  host: identity.host,
  epoch: identity.epoch,
  state,
  stage: end.stage ?? null,
  attempt: end.attempt ?? 1,
  reason: end.reason ?? null,
  detail: end.detail ?? null,
  exitCode: end.exitCode ?? null,
});

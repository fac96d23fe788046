import {
  runtimes,
  Stage,
  type AllocationState,
  type AttemptExit,
  type DesiredState,
  type EndReason,
  type RuntimeName,
} from '#libs/contracts';

/** An allocation of the bot's present generation. */
export interface BotTry {
  readonly allocation: string;
  readonly state: AllocationState;
  /** Of the present attempt. */
  readonly stage: Stage | null;
  readonly attempt: number;
  /** How the attempt before ended. */
  readonly lastExit: Pick<AttemptExit, 'reason' | 'detail'> | null;
  readonly reason: EndReason | null;
  readonly detail: string | null;
}

/** A bot of a rollout as it is now. */
export interface BotNow {
  readonly runtime: RuntimeName;
  readonly createdAtMs: number;
  readonly generation: number;
  readonly desired: DesiredState;
  readonly locked: boolean;
  /** Of its present generation, newest first. */
  readonly tries: readonly BotTry[];
}

export type BotHealth =
  | { readonly kind: 'ready'; readonly allocation: string; readonly attempt: number }
  | { readonly kind: 'not-ready' }
  | { readonly kind: 'failed'; readonly why: string }
  /** It is not to run, so there is nothing to watch. */
  | { readonly kind: 'at-rest' };

/**
 * Ends that say nothing about what was rolled out: the platform's doing, or a person's. Such a bot is placed again,
 * and the progress deadline bounds the waiting.
 */
const notItsOwnFault: ReadonlySet<EndReason> = new Set<EndReason>([
  'asked',
  'account-locked',
  'lease-ended',
  'grant-refused',
  'host-lost',
  'unknown-to-host',
  'stale-epoch',
  'rejected',
]);

/** @param restarts_max restarts in place that are not yet a failure; null when they do not matter any more */
export function healthOf(bot: BotNow, healthStage: Stage | null, restarts_max: number | null): BotHealth {
  const failed = failure(bot.tries);
  if (failed !== null) return { kind: 'failed', why: failed };
  if (bot.desired !== 'running' || bot.locked) return { kind: 'at-rest' };
  const restarts = bot.tries.reduce((sum, { attempt }) => sum + attempt - 1, 0);
  if (restarts_max !== null && restarts > restarts_max) {
    const often = restarts === 1 ? 'once' : `${restarts} times`;
    const last = bot.tries.find(({ lastExit }) => lastExit !== null)?.lastExit ?? null;
    const why = last === null ? '' : ` after it ended: ${sentence(last.reason, last.detail)}`;
    return { kind: 'failed', why: `restarted ${often} by its host${why}` };
  }
  const [newest] = bot.tries;
  return newest !== undefined && isReady(newest, healthStage ?? lastStage(bot.runtime))
    ? { kind: 'ready', allocation: newest.allocation, attempt: newest.attempt }
    : { kind: 'not-ready' };
}

/** How a try has failed by the bot's own fault, or null. */
function failure(tries: readonly BotTry[]): string | null {
  for (const { state, reason, detail } of tries) {
    if (state !== 'failed' || (reason !== null && notItsOwnFault.has(reason))) continue;
    return sentence(reason ?? 'failed', detail);
  }
  return null;
}

const sentence = (reason: string, detail: string | null): string =>
  detail === null ? reason : `${reason}: ${detail}`;

const lastStage = (runtime: RuntimeName): Stage => runtimes[runtime].stages.at(-1) ?? 'container';
const rank = (stage: Stage): number => Stage.options.indexOf(stage);

/**
 * Whether the present attempt has come that far. `running` alone says it of the first attempt; during a restart in
 * place an allocation stays `running`, and only the stage tells.
 */
function isReady({ state, stage, attempt }: BotTry, wanted: Stage): boolean {
  if (state !== 'running' && state !== 'starting') return false;
  if (stage !== null) return rank(stage) >= rank(wanted);
  return state === 'running' && attempt === 1;
}

import { z } from 'zod';
import { Attempt, AttemptExit } from '#libs/contracts';

/**
 * What an agent remembers of the attempts of an allocation, durably: a bot that ended by itself is begun again on this
 * host, and an agent that comes back goes on with the count and the wait of the one before it.
 *
 *   begun -- ends by itself --> waits (attempt + 1) -- due, and started --> begun
 */
export const Attempts = z.strictObject({
  /** The one that is begun, or that is waited for. */
  attempt: Attempt,
  /** While it is waited for: when it is due, on CLOCK_BOOTTIME. Whatever of the one before is still there goes first. */
  dueBoottimeMs: z.number().nullable(),
  /** When those before had ended, on CLOCK_BOOTTIME; of before a boot they seem to lie ahead, and count. */
  endedBoottimeMs: z.array(z.number()),
  /** How the one before ended. */
  lastExit: AttemptExit.nullable(),
});
export type Attempts = z.infer<typeof Attempts>;

export const firstAttempt: Attempts = {
  attempt: 1,
  dueBoottimeMs: null,
  endedBoottimeMs: [],
  lastExit: null,
};

/** How an attempt ended by itself. */
export interface AttemptEnd extends Pick<AttemptExit, 'reason' | 'exitCode'> {
  readonly detail: string;
  /** Another one on this host cannot go better. */
  readonly hopeless: boolean;
}

/** More than a policy can allow; older ones are not asked for. */
const remembered_max = 64;

/** The attempt is over and another follows. Pure. */
export function followedByAnother(
  before: Attempts,
  { reason, detail, exitCode }: AttemptEnd,
  at: { readonly boottimeMs: number; readonly wallMs: number; readonly delayMs: number },
): Attempts {
  return {
    attempt: before.attempt + 1,
    dueBoottimeMs: at.boottimeMs + at.delayMs,
    endedBoottimeMs: [...before.endedBoottimeMs, at.boottimeMs].slice(-remembered_max),
    lastExit: {
      attempt: before.attempt,
      reason,
      detail,
      exitCode,
      at: new Date(at.wallMs).toISOString(),
      nextTryAt: new Date(at.wallMs + at.delayMs).toISOString(),
    },
  };
}

import type { EndReason } from '#libs/contracts';

/** The agent cannot start as it is configured; the message says what to do. Ends the process with code 78. */
export class StartupFault extends Error {
  override readonly name = 'StartupFault';
}

/**
 * The agent's state file cannot be used at the moment, and may be in a while; the message says what to look at. Ends the
 * process with code 75.
 */
export class StateUnavailable extends Error {
  override readonly name = 'StateUnavailable';
  /** Another process has the file open. */
  readonly held: boolean;

  constructor(message: string, options: { cause: unknown; held: boolean }) {
    super(message, { cause: options.cause });
    this.held = options.held;
  }
}

/** Another agent has registered as this host. Ends the process with code 76; starting it again would help nobody. */
export class HostSuperseded extends Error {
  override readonly name = 'HostSuperseded';

  constructor() {
    super(
      'Another agent has registered as this host since this one started. Find out which machine is meant; ' +
        'give a cloned one a name and a state directory of its own.',
    );
  }
}

/** An attempt cannot go on. `detail` is shown and audited: one line, no secret, at most 300 characters. */
export class AllocationFailure extends Error {
  override readonly name = 'AllocationFailure';
  /** Another attempt on this host cannot go better. */
  readonly hopeless: boolean;

  constructor(
    readonly reason: EndReason,
    readonly detail: string,
    options?: { cause?: unknown; hopeless?: boolean },
  ) {
    super(`${reason}: ${detail}`, options);
    this.hopeless = options?.hopeless ?? false;
  }
}

/** `spool_full`: too much waits to be recorded by the audit service. `disk_full`: the disk of the state takes no more. */
export type NoRoomCode = 'spool_full' | 'disk_full';

/** There is no room for what new work would have to report; the work is left with the broker for later. */
export class NoRoom extends Error {
  override readonly name = 'NoRoom';

  constructor(
    readonly code: NoRoomCode,
    options?: { cause: unknown },
  ) {
    super(
      code === 'spool_full'
        ? 'Too many events wait to be recorded by the audit service; new work waits at the broker.'
        : 'The disk of the state directory is full; new work waits at the broker.',
      options,
    );
  }
}

/** A change was asked for that the state machine does not know: a defect, never a message from outside. */
export class InvalidTransition extends Error {
  override readonly name = 'InvalidTransition';
}

/** What an error says, as one line that fits a `detail`. */
export function oneLine(error: unknown): string {
  const text = isErrorLike(error) ? error.message : String(error);
  return text.replaceAll(/\p{Cc}+/gu, ' ').slice(0, 300);
}

/** Whether an abort signal ended it, as opposed to a fault. */
export const isAbort = (error: unknown): boolean => isErrorLike(error) && error.name === 'AbortError';

/** Errors of Node itself belong to another realm where tests run, so `instanceof` would miss them. */
const isErrorLike = (error: unknown): error is { name: string; message: string } =>
  typeof error === 'object' &&
  error !== null &&
  'name' in error &&
  'message' in error &&
  typeof error.message === 'string';

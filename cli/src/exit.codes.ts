import { type ErrorCode, ProblemError } from '#libs/contracts';

/** What the process ends with; stable, for scripts. Shown by every `--help`. */
export const exitCodes = {
  ok: 0,
  /** Refused, or something went wrong; standard error has `code: detail`. */
  problem: 1,
  usage: 2,
  /** No fleet is running, or a part of it does not answer. */
  unavailable: 3,
  /** The change was accepted, but the operation failed or a later change took its place. */
  operationFailed: 4,
  timeout: 5,
  /** As a shell counts it: 128 and the number of SIGINT. */
  interrupted: 130,
} as const;

export type ExitCode = (typeof exitCodes)[keyof typeof exitCodes];

export const exitCodesHelp = `
Exit codes:
  0  done
  1  refused or gone wrong; standard error has "code: detail"
  2  wrong usage
  3  no fleet is running, or a part of it does not answer
  4  the operation failed, or a later change took its place
  5  no answer or no end in time
`;

/** Wrong usage that the parser cannot see, such as two options that do not go together. Exit code 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/** There is nothing to talk to: no running fleet, no token. Exit code 3. */
export class NoFleetError extends Error {
  override readonly name = 'NoFleetError';
}

/** A file is not what it should be, or was changed. Exit code 1. */
export class FileFault extends Error {
  override readonly name = 'FileFault';
}

/** Ctrl-C. */
export class Interrupted extends Error {
  override readonly name = 'Interrupted';
}

const codesOfProblems: Partial<Record<ErrorCode, ExitCode>> = {
  unavailable: exitCodes.unavailable,
  timeout: exitCodes.timeout,
};

/** The exit code of an error; `null` for a defect, which is to be shown with its stack. */
export function exitCodeOf(error: unknown): ExitCode | null {
  if (error instanceof ProblemError) return codesOfProblems[error.code] ?? exitCodes.problem;
  if (error instanceof UsageError) return exitCodes.usage;
  if (error instanceof FileFault) return exitCodes.problem;
  if (error instanceof NoFleetError) return exitCodes.unavailable;
  if (error instanceof Interrupted) return exitCodes.interrupted;
  return null;
}

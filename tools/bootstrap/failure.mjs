/** What can go wrong in a bootstrap, and the exit code each kind ends with. */

export const EXIT_OK = 0;
export const EXIT_STEP_FAILED = 1;
export const EXIT_USAGE = 2;
/** sysexits.h EX_CONFIG: something must be installed by hand before this can go on. */
export const EXIT_CANNOT_INSTALL = 78;

/** The command line was wrong. */
export class UsageFailure extends Error {
  exitCode = EXIT_USAGE;
}

/** A step was tried and did not work. `remedy` says what the person can do about it. */
export class StepFailure extends Error {
  exitCode = EXIT_STEP_FAILED;

  /**
   * @param {string} message what did not work
   * @param {{remedy?: string, output?: string, cause?: unknown}} [more] `output` is the end of what the command said
   */
  constructor(message, { remedy, output, cause } = {}) {
    super(message, { cause });
    this.remedy = remedy;
    this.output = output;
  }
}

/** Something is missing that may not or cannot be installed from here. */
export class CannotInstall extends StepFailure {
  exitCode = EXIT_CANNOT_INSTALL;
}

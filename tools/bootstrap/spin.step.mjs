/** Makes sure of spin and a C compiler, with which the model of the leases is checked. */

import { CannotInstall } from './failure.mjs';
import { canInstallPackages, installPackages } from './debian-packages.mjs';
import { programsOn, REMEDY } from '../model/pan.mjs';
import { isAtLeast, readVersion } from './versions.mjs';

const SPIN_LEAST = [6, 4, 0];
const ASK_TIMEOUT_MS = 10_000;
/** The compiler needs the C library's headers, which are only a recommendation of gcc. */
const PACKAGES = ['spin', 'gcc', 'libc6-dev'];

export const spinStep = {
  name: 'spin',

  /** @returns {Promise<string>} what was found or installed */
  async run({ machine, reporter }) {
    let how = '';
    if (!isComplete(machine) && canInstallPackages(machine)) {
      await installPackages(machine, PACKAGES, { doing: (text) => reporter.doing(text), remedy: REMEDY });
      how = ', installed from Debian';
    }
    const { spin, compiler } = programsOn(machine);
    const version = readVersion(await machine.run(spin, ['-V'], { timeoutMs: ASK_TIMEOUT_MS }));
    if (!isAtLeast(version, SPIN_LEAST)) {
      throw new CannotInstall(`${spin} is ${version?.join('.') ?? 'of an unknown version'}, too old.`, {
        remedy: REMEDY,
      });
    }
    return `${version.join('.')} at ${spin}, ${compiler}${how}`;
  },
};

function isComplete(machine) {
  try {
    programsOn(machine);
    return true;
  } catch (error) {
    if (error instanceof CannotInstall) return false;
    throw error;
  }
}

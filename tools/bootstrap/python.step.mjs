/** Makes sure of a Python with the packages the bots need outside a container. */

import { existsSync } from 'node:fs';
import { isAbsolute, join } from 'node:path';
import { StepFailure } from './failure.mjs';

const SCRIPT = 'tools/python.mjs';
/** It may have to make a virtual environment and install numpy and the test tools. */
const PATH_TIMEOUT_MS = 10 * 60_000;

export const pythonStep = {
  name: 'python',

  /** @returns {Promise<string>} */
  async run({ root, machine, reporter, record }) {
    const script = join(root, SCRIPT);
    if (!existsSync(script)) throw new StepFailure(`${SCRIPT} is missing: the working tree is not complete.`);
    reporter.doing('preparing the Python environment');
    const printed = await machine.run(process.execPath, [script, 'path'], {
      cwd: root,
      timeoutMs: PATH_TIMEOUT_MS,
      remedy: 'Install Python 3.11 or newer with venv (Debian: apt-get install python3 python3-venv).',
      onLine: (line) => reporter.progress(line),
    });
    const path = printed.trim().split('\n').at(-1) ?? '';
    if (!isAbsolute(path) || !machine.isExecutable(path)) {
      throw new StepFailure(`${SCRIPT} path printed ${JSON.stringify(path)}, which is no program.`);
    }
    record.python = { path };
    return path;
  },
};

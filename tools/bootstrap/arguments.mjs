/** Reads the command line of the bootstrap. */

import { UsageFailure } from './failure.mjs';
import { driverGivenToNpm } from './npm-command.mjs';

export const PURPOSES = ['start', 'test', 'check'];
export const DRIVERS = ['docker', 'process'];

export const HELP = `Usage: node tools/bootstrap.mjs --for start|test|check [--driver docker|process] [--json]

Makes this machine ready to run, test or check Tradefleet. Every step is done only
when it is needed; running it twice changes nothing.

  --for start     what \`npm start\` needs (the default)
  --for test      what \`npm test\` needs
  --for check     what \`npm run check\` needs: packages, build, Python
  --driver D      docker (the default): bots run in containers
                  process: bots run as plain processes, no Docker is needed
  --json          one JSON object on standard output; progress stays on standard error
  --help          this text

Environment
  TRADEFLEET_DRIVER   the driver, when --driver is given neither here nor to npm start
  XDG_CACHE_HOME      where downloaded binaries are kept (default ~/.cache)
  DOCKER_HOST         unix://PATH of the Docker Engine to use

Exit codes: 0 ready · 1 a step failed · 2 wrong usage · 78 something must be installed by hand
Details: docs/INSTALLATION.md
`;

/**
 * @param {readonly string[]} words the arguments after the script's name
 * @param {Readonly<Record<string, string | undefined>>} env
 * @param {(env: object) => string | undefined} [typed] what `npm start` was given
 * @returns {{purpose: string, driver: string, json: boolean, help: boolean}}
 * @throws {UsageFailure} for an unknown option or value
 */
export function readArguments(words, env, typed = driverGivenToNpm) {
  const options = { purpose: 'start', driver: undefined, json: false, help: false };
  const rest = [...words];
  while (rest.length > 0) {
    const word = rest.shift();
    const [name, inline] = splitAtEquals(word);
    if (name === '--help' || name === '-h') options.help = true;
    else if (name === '--json') options.json = true;
    else if (name === '--for') options.purpose = valueOf(name, inline, rest, PURPOSES);
    else if (name === '--driver') options.driver = valueOf(name, inline, rest, DRIVERS);
    else throw new UsageFailure(`Unknown argument ${JSON.stringify(word)}.`);
  }
  options.driver ??=
    driverFrom(typed(env), 'npm start --driver') ??
    driverFrom(env.TRADEFLEET_DRIVER, 'TRADEFLEET_DRIVER') ??
    'docker';
  return options;
}

function splitAtEquals(word) {
  const at = word.indexOf('=');
  return word.startsWith('--') && at > 0 ? [word.slice(0, at), word.slice(at + 1)] : [word, undefined];
}

function valueOf(name, inline, rest, allowed) {
  const value = inline ?? rest.shift();
  if (!allowed.includes(value)) {
    throw new UsageFailure(`${name} must be one of ${allowed.join(', ')}.`);
  }
  return value;
}

function driverFrom(value, source) {
  if (value === undefined || value === '') return undefined;
  if (!DRIVERS.includes(value)) {
    throw new UsageFailure(`${source} must be one of ${DRIVERS.join(', ')}.`);
  }
  return value;
}

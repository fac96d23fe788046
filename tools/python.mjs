#!/usr/bin/env node
/**
 * The Python of the repository: `node tools/python.mjs path | test [pytest arguments] | check`.
 * Makes a virtual environment with the pinned packages of bot-fourni when there is none yet.
 * Uses Node's builtins only; standard output carries nothing but what was asked for.
 */

import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { canInstallPackages, installPackages } from './bootstrap/debian-packages.mjs';
import { CannotInstall, EXIT_OK, EXIT_STEP_FAILED, EXIT_USAGE, StepFailure } from './bootstrap/failure.mjs';
import { thisMachine } from './bootstrap/machine.mjs';
import { inSeconds, Reporter } from './bootstrap/reporter.mjs';

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));
const PROJECT = join(ROOT, 'bot-fourni');
const REQUIREMENTS = join(PROJECT, 'requirements-dev.txt');

const USAGE = 'Usage: node tools/python.mjs path | test [pytest arguments] | check\n';
const DEBIAN_PACKAGES = ['python3', 'python3-venv', 'python3-pip'];
const REMEDY =
  'Install Python 3.11 or newer with venv and pip; on Debian: apt-get install python3 python3-venv python3-pip';
const LEAST_VERSION = [3, 11];

const ASK_TIMEOUT_MS = 30_000;
const VENV_TIMEOUT_MS = 3 * 60_000;
const PIP_TIMEOUT_MS = 8 * 60_000;
const TEST_TIMEOUT_MS = 8 * 60_000;
const CHECK_TIMEOUT_MS = 4 * 60_000;

/** What one interpreter says about itself. `complete`: it can make virtual environments with pip. */
const QUESTION = `
import json, platform, sys
try:
    import ensurepip, venv
    complete = True
except ImportError:
    complete = False
print(json.dumps({"version": platform.python_version(), "prefix": sys.base_prefix, "complete": complete}))
`;

/**
 * @typedef {{path: string, version: string, prefix: string, complete: boolean}} Interpreter
 * @typedef {ReturnType<typeof thisMachine>} Machine
 */

/**
 * The first Python on the machine that is new enough; one that can make environments is preferred.
 * @param {Machine} machine
 * @returns {Promise<Interpreter | undefined>}
 */
export async function findInterpreter(machine) {
  const names = ['python3', 'python3.11', 'python3.12', 'python3.13', 'python3.14'];
  const paths = [...names.map((name) => machine.which(name)), '/usr/bin/python3'];
  const found = [];
  for (const path of new Set(paths.filter((each) => each !== undefined && machine.isExecutable(each)))) {
    const interpreter = await askInterpreter(machine, path);
    if (interpreter?.complete) return interpreter;
    if (interpreter) found.push(interpreter);
  }
  return found[0];
}

async function askInterpreter(machine, path) {
  let answer;
  try {
    answer = JSON.parse(await machine.run(path, ['-c', QUESTION], { timeoutMs: ASK_TIMEOUT_MS }));
  } catch {
    return undefined; // a broken interpreter is as good as none; the remedy names what is needed
  }
  const [major, minor] = answer.version.split('.').map(Number);
  const isNewEnough = major === LEAST_VERSION[0] && minor >= LEAST_VERSION[1];
  return isNewEnough ? { path, ...answer } : undefined;
}

/**
 * Where the environment of these requirements and this interpreter is.
 * @param {string} cacheFolder
 * @param {string} requirements content of requirements-dev.txt
 * @param {Pick<Interpreter, 'version' | 'prefix'>} interpreter
 */
export function environmentFolder(cacheFolder, requirements, { version, prefix }) {
  const hash = createHash('sha256').update(JSON.stringify([requirements, version, prefix, process.arch]));
  return join(cacheFolder, `python-${hash.digest('hex').slice(0, 16)}`);
}

/**
 * Makes sure of the environment.
 * @param {Machine} machine
 * @param {Pick<Reporter, 'doing' | 'progress'>} reporter
 * @param {string} [requirementsFile]
 * @returns {Promise<string>} path of its interpreter
 * @throws {StepFailure} CannotInstall when a person has to install something
 */
export async function ensurePython(machine, reporter, requirementsFile = REQUIREMENTS) {
  const interpreter = await ensureInterpreter(machine, reporter);
  const requirements = readFileSync(requirementsFile, 'utf8');
  const folder = environmentFolder(machine.cacheFolder, requirements, interpreter);
  const python = join(folder, 'bin', 'python');
  if (existsSync(python)) return python;

  mkdirSync(machine.cacheFolder, { recursive: true });
  removeAbandoned(machine.cacheFolder);
  // Made aside and renamed, so that a folder with the final name is always complete.
  const aside = `${folder}.${process.pid}.new`;
  const removeAside = () => rmSync(aside, { recursive: true, force: true });
  try {
    await makeEnvironment(machine, reporter, interpreter, aside, requirementsFile);
    try {
      renameSync(aside, folder);
    } catch (error) {
      // Another run was quicker: theirs is the same.
      if (!['ENOTEMPTY', 'EEXIST'].includes(error.code)) throw error;
    }
  } finally {
    removeAside();
  }
  return python;
}

async function ensureInterpreter(machine, reporter) {
  let interpreter = await findInterpreter(machine);
  if (!interpreter?.complete && canInstallPackages(machine)) {
    await installPackages(machine, DEBIAN_PACKAGES, {
      doing: (text) => reporter.doing(text),
      remedy: REMEDY,
    });
    interpreter = await findInterpreter(machine);
  }
  if (!interpreter) throw new CannotInstall('There is no Python 3.11 or newer.', { remedy: REMEDY });
  if (!interpreter.complete) {
    throw new CannotInstall(`${interpreter.path} cannot make virtual environments.`, { remedy: REMEDY });
  }
  return interpreter;
}

async function makeEnvironment(machine, reporter, interpreter, folder, requirementsFile) {
  const onLine = (line) => reporter.progress(line);
  reporter.doing(`making a virtual environment with Python ${interpreter.version}`);
  await machine.run(interpreter.path, ['-m', 'venv', folder], {
    timeoutMs: VENV_TIMEOUT_MS,
    remedy: REMEDY,
    onLine,
  });
  reporter.doing('installing the packages of bot-fourni/requirements-dev.txt');
  const install = [
    '-m',
    'pip',
    'install',
    '--no-input',
    '--disable-pip-version-check',
    '--only-binary',
    ':all:',
  ];
  await machine.run(join(folder, 'bin', 'python'), [...install, '-r', requirementsFile], {
    timeoutMs: PIP_TIMEOUT_MS,
    remedy:
      'Is the package index reachable? A proxy or a mirror is configured with PIP_INDEX_URL or pip.conf.',
    onLine,
  });
  writeFileSync(join(folder, 'requirements.txt'), readFileSync(requirementsFile));
}

/** Removes what runs that were killed have left half made. */
function removeAbandoned(cacheFolder) {
  for (const name of readdirSync(cacheFolder)) {
    const maker = /^python-[0-9a-f]+\.(\d+)\.new$/.exec(name)?.[1];
    if (maker !== undefined && !existsSync(`/proc/${maker}`)) {
      rmSync(join(cacheFolder, name), { recursive: true, force: true });
    }
  }
}

/**
 * What a verb runs: programs as lists of arguments of the environment's interpreter.
 * @param {string | undefined} verb @param {readonly string[]} more
 * @returns {{name: string, args: string[], timeoutMs: number}[] | undefined} undefined: no such verb
 */
export function programsOf(verb, more) {
  if (verb === 'test')
    return [{ name: 'pytest', args: ['-m', 'pytest', ...more], timeoutMs: TEST_TIMEOUT_MS }];
  if (more.length > 0) return undefined;
  if (verb === 'path') return [];
  if (verb !== 'check') return undefined;
  return [
    { name: 'ruff check', args: ['-m', 'ruff', 'check', '.'], timeoutMs: CHECK_TIMEOUT_MS },
    { name: 'ruff format', args: ['-m', 'ruff', 'format', '--check', '.'], timeoutMs: CHECK_TIMEOUT_MS },
    { name: 'mypy', args: ['-m', 'mypy'], timeoutMs: CHECK_TIMEOUT_MS },
  ];
}

/**
 * @param {readonly string[]} words the command line
 * @param {{machine?: Machine, reporter?: Reporter, out?: (text: string) => void}} [with_]
 * @returns {Promise<number>} the exit code
 */
export async function main(words, with_ = {}) {
  const { machine = thisMachine(), reporter = new Reporter(process.stderr) } = with_;
  const out = with_.out ?? ((text) => process.stdout.write(text));
  const [verb, ...more] = words;
  const programs = programsOf(verb, more);
  if (programs === undefined) {
    reporter.line(USAGE.trimEnd());
    return EXIT_USAGE;
  }
  const python = await step(reporter, 'python', () => ensurePython(machine, reporter));
  if (typeof python !== 'string') return python.exitCode;
  if (verb === 'path') out(`${python}\n`);
  let exitCode = EXIT_OK;
  for (const { name, args, timeoutMs } of programs) {
    const startedMs = performance.now();
    let state = '✓';
    try {
      const onLine = (line) => out(`${line}\n`);
      await machine.run(python, args, { cwd: PROJECT, timeoutMs, onLine });
    } catch (error) {
      if (!(error instanceof StepFailure)) throw error;
      [state, exitCode] = ['✗', EXIT_STEP_FAILED];
    }
    reporter.line(`${state} ${name} (${inSeconds(performance.now() - startedMs)})`);
  }
  return exitCode;
}

/** Runs one step under the reporter. @returns its result, or the StepFailure it ended with */
async function step(reporter, name, work) {
  reporter.begin(name);
  try {
    const result = await work();
    reporter.end('done', result);
    return result;
  } catch (error) {
    if (!(error instanceof StepFailure)) throw error;
    reporter.end('failed', error.message);
    if (error.output) reporter.line(error.output);
    if (error.remedy) reporter.line(error.remedy);
    return error;
  }
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  process.exitCode = await main(process.argv.slice(2));
}

/**
 * Makes sure of a Docker Engine: one that answers, else the one that is installed but not
 * running, else Debian's package. Installing and starting need root.
 */

import { closeSync, mkdirSync, openSync, readFileSync, statSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { canInstallPackages, installPackages } from './debian-packages.mjs';
import { engineAt } from './engine-api.mjs';
import { CannotInstall, StepFailure } from './failure.mjs';
import { isAtLeast, readVersion } from './versions.mjs';

const DEFAULT_SOCKET = '/var/run/docker.sock';
/** The oldest API the docker driver is tested with: Engine 20.10. */
const API_LEAST = [1, 41];
const READY_TIMEOUT_MS = 60_000;
const POLL_MS = 200;
const SYSTEMCTL_TIMEOUT_MS = 90_000;
const LOG_BYTES_MAX = 16 * 1024 * 1024;
/** iptables is only a recommendation of docker.io, but without it dockerd does not start. */
export const ENGINE_PACKAGES = ['docker.io', 'iptables', 'ca-certificates'];

export const dockerEngineStep = {
  name: 'docker',

  /** @returns {Promise<string>} which engine it is */
  async run(context) {
    const { machine, record } = context;
    const sockets = socketCandidates(machine);
    const found = await firstReachable(sockets, context.connect ?? engineAt);
    const how = found.engine ? '' : await provide(context, sockets, found.failures);
    const engine = found.engine ?? (context.connect ?? engineAt)(DEFAULT_SOCKET);
    const version = await engine.version();
    refuseUnusable(version);
    record.docker = { socketPath: engine.socketPath, version: version.Version };
    context.engine = engine;
    return `Engine ${version.Version}, API ${version.ApiVersion}, ${engine.socketPath}${how}`;
  },
};

/**
 * The sockets to try, in order. DOCKER_HOST, when it is set, is the only one.
 * @param {{env: Record<string, string | undefined>, platform: string, home: string}} machine
 * @returns {string[]}
 */
export function socketCandidates({ env, platform, home }) {
  const host = env.DOCKER_HOST;
  if (host) {
    if (!host.startsWith('unix://')) {
      throw new CannotInstall(
        `DOCKER_HOST is ${JSON.stringify(host)}, and only unix:// sockets can be used.`,
        {
          remedy:
            'The agent shares directories with its containers, so the engine must run on this machine: set DOCKER_HOST=unix:///path/to/docker.sock, or unset it.',
        },
      );
    }
    return [host.slice('unix://'.length)];
  }
  if (platform === 'darwin') return [DEFAULT_SOCKET, join(home, '.docker/run/docker.sock')];
  return [DEFAULT_SOCKET];
}

async function firstReachable(sockets, connect) {
  const failures = new Map();
  for (const socketPath of sockets) {
    const engine = connect(socketPath);
    try {
      await engine.ping();
      return { engine, failures };
    } catch (error) {
      if (!(error instanceof StepFailure)) throw error;
      failures.set(socketPath, error.cause?.code ?? error.message);
    }
  }
  return { failures };
}

function refuseUnusable(version) {
  if (version.Os !== 'linux') {
    throw new CannotInstall(`The Docker Engine runs ${version.Os} containers; Linux containers are needed.`);
  }
  if (!isAtLeast(readVersion(version.ApiVersion), API_LEAST)) {
    throw new CannotInstall(`Docker Engine ${version.Version} (API ${version.ApiVersion}) is too old.`, {
      remedy: `Install Engine 20.10 (API ${API_LEAST.join('.')}) or newer, or run with --driver process.`,
    });
  }
}

/** Installs the engine when needed and starts it. @returns what was done, for the step's line */
async function provide(context, sockets, failures) {
  const { machine, reporter } = context;
  const why = [...failures].map(([path, reason]) => `${path}: ${reason}`).join(', ');
  if (machine.env.DOCKER_HOST || !machine.isRoot || machine.platform !== 'linux') {
    throw new CannotInstall(`No Docker Engine answers (${why}).`, { remedy: remedyFor(machine, failures) });
  }
  let dockerd = machine.which('dockerd');
  let done = ', started';
  if (!dockerd) {
    if (!canInstallPackages(machine)) {
      throw new CannotInstall(`No Docker Engine answers (${why}).`, { remedy: remedyFor(machine, failures) });
    }
    await installPackages(machine, ENGINE_PACKAGES, {
      doing: (text) => reporter.doing(text),
      remedy:
        'Install Docker Engine by hand (https://docs.docker.com/engine/install/), or run with --driver process.',
    });
    dockerd = machine.which('dockerd');
    if (!dockerd) throw new StepFailure('The package docker.io was installed, but there is no dockerd.');
    done = ', installed from Debian and started';
  }
  reporter.doing('starting dockerd');
  await start(context, dockerd, sockets[0]);
  return done;
}

async function start(context, dockerd, socketPath) {
  const { machine } = context;
  const engine = (context.connect ?? engineAt)(socketPath);
  if (machine.hasSystemd) {
    await machine.run('systemctl', ['enable', '--now', 'docker.service'], {
      timeoutMs: SYSTEMCTL_TIMEOUT_MS,
      remedy: 'See `journalctl -u docker` for the reason.',
    });
    await waitUntilReady(engine, () => null, '`journalctl -u docker`');
    return;
  }
  const log = logFile(context);
  const logFd = openSync(log, 'a', 0o600);
  try {
    const env = {
      ...machine.env,
      PATH: `${machine.env.PATH ?? ''}:/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin`,
    };
    const daemon = machine.startDetached(dockerd, ['--log-level', 'warn'], { env, logFd });
    await waitUntilReady(engine, daemon.exitCode, log);
  } finally {
    closeSync(logFd);
  }
}

/** Where the daemon's own messages go; what earlier runs left there is bounded. */
function logFile({ machine, root }) {
  const folder = machine.logFolder ?? join(root, '.tradefleet');
  const path = join(folder, machine.logFolder ? 'tradefleet-dockerd.log' : 'dockerd.log');
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  try {
    if (statSync(path).size > LOG_BYTES_MAX) truncateSync(path);
  } catch (error) {
    if (error.code !== 'ENOENT') throw error;
  }
  return path;
}

async function waitUntilReady(engine, exitCode, log) {
  const until = performance.now() + READY_TIMEOUT_MS;
  let reason = 'it did not answer';
  while (performance.now() < until) {
    try {
      await engine.ping();
      return;
    } catch (error) {
      reason = error.message;
    }
    const code = exitCode();
    if (code !== null) {
      throw new StepFailure(`dockerd ended with code ${code}.`, {
        output: endOf(log),
        remedy: startRemedy(log),
      });
    }
    await delay(POLL_MS);
  }
  throw new StepFailure(
    `dockerd was started, but is not ready after ${READY_TIMEOUT_MS / 1000} s: ${reason}`,
    {
      output: endOf(log),
      remedy: startRemedy(log),
    },
  );
}

function endOf(log) {
  try {
    return readFileSync(log, 'utf8').split('\n').slice(-40).join('\n');
  } catch {
    return undefined;
  }
}

function startRemedy(log) {
  return `Its log is ${log}. In a container, dockerd needs --privileged and cgroups. Without Docker: --driver process.`;
}

function remedyFor(machine, failures) {
  const withoutDocker = 'Or run without Docker: npm start -- --driver process (TRADEFLEET_DRIVER=process).';
  if ([...failures.values()].includes('EACCES')) {
    return `The engine's socket is there, but this user may not use it: sudo usermod -aG docker "$USER", then log in again. ${withoutDocker}`;
  }
  if (machine.env.DOCKER_HOST) {
    return `Start the engine that DOCKER_HOST names, or unset DOCKER_HOST. ${withoutDocker}`;
  }
  if (machine.platform === 'darwin') {
    return `Install and start Docker Desktop, or colima (brew install colima docker && colima start). ${withoutDocker}`;
  }
  if (machine.isDebian) {
    return `As root: apt-get install ${ENGINE_PACKAGES.join(' ')} && systemctl start docker (or dockerd &); then add yourself to the group docker. ${withoutDocker}`;
  }
  return `Install Docker Engine 20.10 or newer (https://docs.docker.com/engine/install/) and start it. ${withoutDocker}`;
}

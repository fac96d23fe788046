/**
 * Makes sure of a nats-server that is new enough, from the first of these that has one:
 * PATH, our cache, the Go toolchain, the official release archive, Debian's package.
 */

import { mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { canInstallPackages, installPackages } from './debian-packages.mjs';
import { download } from './downloads.mjs';
import { CannotInstall, StepFailure } from './failure.mjs';
import { ARCHIVE_VERSION, releaseArchive } from './nats-archives.mjs';
import { isAtLeast, readVersion } from './versions.mjs';

/** JetStream features the platform relies on: per-message TTL (2.11), atomic batch publish (2.12). */
export const NATS_LEAST = [2, 12, 0];
export const GO_VERSION = '2.15.2';
/** What nats-server 2.15 asks for in its go.mod. */
const GO_LEAST = [1, 25, 0];

const ASK_TIMEOUT_MS = 10_000;
const COMPILE_TIMEOUT_MS = 15 * 60_000;
const EXTRACT_TIMEOUT_MS = 60_000;

export const natsServerStep = {
  name: 'nats-server',

  /** @returns {Promise<string>} what was found or installed */
  async run({ machine, reporter, record }) {
    const tried = [];
    for (const source of [onPath, inCache, withGo, fromArchive, fromDebian]) {
      const found = await source(machine, reporter, tried);
      if (found) {
        record.natsServer = { path: found.path, version: found.version };
        return `${found.version} ${found.how}`;
      }
    }
    throw new CannotInstall(
      `No nats-server ${NATS_LEAST.join('.')} or newer is here, and none could be installed.\n${tried.map((line) => `  ${line}`).join('\n')}`,
      { remedy: remedyFor(machine) },
    );
  },
};

async function onPath(machine, reporter) {
  const path = machine.which('nats-server');
  if (!path) return undefined;
  const version = await versionOf(machine, path);
  if (isAtLeast(version, NATS_LEAST)) return { path, version: version.join('.'), how: `at ${path}` };
  reporter.doing(`${path} is ${version?.join('.') ?? 'of an unknown version'}, too old`);
  return undefined;
}

async function inCache(machine) {
  // The folder's name tells the version: no need to start the program to ask for it.
  const version = [GO_VERSION, ARCHIVE_VERSION].find((each) =>
    machine.isExecutable(cachedPath(machine, each)),
  );
  return version && { path: cachedPath(machine, version), version, how: 'in the cache' };
}

async function withGo(machine, reporter, tried) {
  const go = machine.which('go');
  if (!go) {
    tried.push('Go toolchain: not found');
    return undefined;
  }
  const goVersion = readVersion(await machine.run(go, ['env', 'GOVERSION'], { timeoutMs: ASK_TIMEOUT_MS }));
  if (!isAtLeast(goVersion, GO_LEAST)) {
    tried.push(`Go toolchain: ${goVersion?.join('.')} is older than ${GO_LEAST.join('.')}`);
    return undefined;
  }
  return attempt('Go toolchain', tried, () =>
    intoCache(machine, GO_VERSION, async (folder) => {
      reporter.doing(`compiling nats-server ${GO_VERSION} with Go, about a minute`);
      let packages = 0;
      await machine.run(go, ['install', '-v', `github.com/nats-io/nats-server/v2@v${GO_VERSION}`], {
        timeoutMs: COMPILE_TIMEOUT_MS,
        env: { ...machine.env, GOBIN: folder, GOOS: '', GOARCH: '', CGO_ENABLED: '0' },
        onLine: () => reporter.progress(`compiling nats-server ${GO_VERSION}: ${++packages} packages`),
      });
      return { path: join(folder, 'nats-server'), how: 'compiled with Go' };
    }),
  );
}

async function fromArchive(machine, reporter, tried) {
  const archive = releaseArchive(machine.platform, machine.arch);
  if (!archive) {
    tried.push(`release archive: none with a checked SHA-256 for ${machine.platform} ${machine.arch}`);
    return undefined;
  }
  return attempt('release archive', tried, () =>
    intoCache(machine, archive.version, async (folder) => {
      reporter.doing(`downloading nats-server ${archive.version}`);
      const file = join(folder, 'archive.tar.gz');
      const progress = (text) => reporter.progress(`downloading nats-server ${archive.version}: ${text}`);
      await download(machine, { url: archive.url, sha256: archive.sha256, to: file, progress });
      const tar = machine.which('tar') ?? 'tar';
      await machine.run(tar, ['-xzf', file, '-C', folder, archive.member], { timeoutMs: EXTRACT_TIMEOUT_MS });
      return { path: join(folder, archive.member), how: 'from the release archive' };
    }),
  );
}

async function fromDebian(machine, reporter, tried) {
  if (!canInstallPackages(machine)) {
    tried.push('Debian package: only as root on Debian');
    return undefined;
  }
  return attempt('Debian package', tried, async () => {
    await installPackages(machine, ['nats-server'], { doing: (text) => reporter.doing(text) });
    const path = machine.which('nats-server');
    const version = path && (await versionOf(machine, path));
    if (!version) throw new StepFailure('the package was installed, but the program is not there');
    if (!isAtLeast(version, NATS_LEAST)) {
      reporter.warn(
        `Debian's nats-server ${version.join('.')} is older than ${NATS_LEAST.join('.')}: good for a first look, not for production.`,
      );
    }
    return { path, version: version.join('.'), how: 'from Debian' };
  });
}

/** Turns the failure of one source into a line of the final error, so that the next one is tried. */
async function attempt(name, tried, work) {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof StepFailure)) throw error;
    const end = error.output?.split('\n').slice(-3).join(' | ');
    tried.push(`${name}: ${error.message}${end ? ` (${end})` : ''}`);
    return undefined;
  }
}

/**
 * Lets `make` produce the program in a temporary folder and moves it into the cache in one
 * step, so that a half-written binary is never found there.
 */
async function intoCache(machine, version, make) {
  mkdirSync(machine.cacheFolder, { recursive: true, mode: 0o700 });
  const folder = mkdtempSync(join(machine.cacheFolder, '.nats-server-'));
  try {
    const made = await make(folder);
    const found = await versionOf(machine, made.path);
    if (found?.join('.') !== version) {
      throw new StepFailure(
        `the new nats-server says it is ${found?.join('.') ?? 'nothing'}, not ${version}`,
      );
    }
    const path = cachedPath(machine, version);
    mkdirSync(join(path, '..'), { recursive: true, mode: 0o700 });
    renameSync(made.path, path);
    return { path, version, how: made.how };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function cachedPath(machine, version) {
  return join(machine.cacheFolder, `nats-server-v${version}`, 'nats-server');
}

async function versionOf(machine, path) {
  try {
    return readVersion(await machine.run(path, ['--version'], { timeoutMs: ASK_TIMEOUT_MS }));
  } catch (error) {
    if (error instanceof StepFailure) return undefined;
    throw error;
  }
}

function remedyFor(machine) {
  const how = machine.platform === 'darwin' ? '`brew install nats-server`, ' : '';
  return `Install nats-server ${NATS_LEAST.join('.')} or newer so that it is on PATH (${how}a release from github.com/nats-io/nats-server), or Go ${GO_LEAST.join('.')} or newer, and run this again.`;
}

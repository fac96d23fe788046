/** Makes sure of the base image of the bots: there already, else pulled, else made with mmdebstrap. */

import { existsSync } from 'node:fs';
import { canInstallPackages, installPackages } from './debian-packages.mjs';
import { CannotInstall, StepFailure } from './failure.mjs';
import { proxyVariables } from './proxies.mjs';

const REPOSITORY = 'debian';
const SUITE = 'bookworm';
const TAG = `${SUITE}-slim`;
export const BASE_IMAGE = `${REPOSITORY}:${TAG}`;

const PULL_TIMEOUT_MS = 90_000;
/** A registry that says nothing for so long is taken as out of reach. */
const PULL_SILENCE_MS = 30_000;
const MAKE_TIMEOUT_MS = 10 * 60_000;
/** What Debian's slim image leaves out as well. Copyright files stay. */
const LEFT_OUT = ['man', 'doc', 'info', 'locale', 'lintian', 'linda', 'groff'];

export const baseImageStep = {
  name: 'base-image',

  /** @returns {Promise<string>} */
  async run(context) {
    const present = await context.engine.image(BASE_IMAGE);
    const how = present ? 'present' : await provide(context);
    const image = present ?? (await context.engine.image(BASE_IMAGE));
    if (!image) throw new StepFailure(`${BASE_IMAGE} was made, but the Docker Engine does not have it.`);
    context.baseImageId = image.Id;
    return `${BASE_IMAGE} ${how}`;
  },
};

async function provide(context) {
  const { engine, machine, reporter } = context;
  let refusal;
  reporter.doing(`pulling ${BASE_IMAGE}`);
  try {
    await engine.pull(REPOSITORY, TAG, {
      totalMs: PULL_TIMEOUT_MS,
      silenceMs: PULL_SILENCE_MS,
      onProgress: (text) => reporter.progress(`pulling ${BASE_IMAGE}: ${text}`),
    });
    return 'pulled';
  } catch (error) {
    if (!(error instanceof StepFailure)) throw error;
    refusal = error;
  }
  if (!canInstallPackages(machine)) {
    throw new CannotInstall(`${BASE_IMAGE} could not be pulled. ${refusal.message}`, {
      remedy: `Give the Docker Engine a way to a registry, or load the image by hand: docker pull ${BASE_IMAGE} && docker save ${BASE_IMAGE} elsewhere, docker load here. Without Docker: --driver process.`,
      cause: refusal,
    });
  }
  await make(context);
  return 'made with mmdebstrap, because no registry answered';
}

async function make(context) {
  const { machine, reporter } = context;
  if (!machine.which('mmdebstrap')) {
    await installPackages(machine, ['mmdebstrap', 'debian-archive-keyring'], {
      doing: (text) => reporter.doing(text),
    });
  }
  reporter.doing(`making ${BASE_IMAGE} with mmdebstrap, about half a minute`);
  try {
    await importTree(context, []);
  } catch (error) {
    const sources = hostSources(machine);
    if (!(error instanceof StepFailure) || sources.length === 0) throw error;
    // Debian's own mirror did not answer: the one this machine installs from will.
    reporter.doing(`making ${BASE_IMAGE} from this machine's apt sources`);
    await importTree(context, sources);
  }
}

/** @param {readonly string[]} mirrors files of apt sources; none means Debian's own mirror */
async function importTree({ engine, machine, reporter }, mirrors) {
  const excludes = LEFT_OUT.map((name) => `--dpkgopt=path-exclude=/usr/share/${name}/*`);
  const keep = '--dpkgopt=path-include=/usr/share/doc/*/copyright';
  const target = [SUITE, '-', ...mirrors];
  await machine.run('mmdebstrap', ['--variant=minbase', '--format=tar', ...excludes, keep, ...target], {
    timeoutMs: MAKE_TIMEOUT_MS,
    env: { ...machine.env, ...(await proxyVariables(machine)) },
    remedy: `Its apt could not fetch Debian ${SUITE}. Check the network and proxy, or load ${BASE_IMAGE} by hand.`,
    onLine: (line) => reporter.progress(`mmdebstrap: ${line}`),
    onStdout: (tree) =>
      engine.importImage(tree, {
        repository: REPOSITORY,
        tag: TAG,
        changes: ['CMD ["bash"]'],
        message: `Debian ${SUITE}, made with mmdebstrap`,
        timeoutMs: MAKE_TIMEOUT_MS,
      }),
  });
}

/** The standard source files of a Debian of the same release, so that third-party ones stay out. */
function hostSources(machine) {
  if (machine.release.ID !== 'debian' || machine.codename !== SUITE) return [];
  return ['/etc/apt/sources.list.d/debian.sources', '/etc/apt/sources.list'].filter((path) =>
    existsSync(path),
  );
}

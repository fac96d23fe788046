/** Compiles the services, libraries and tools when their sources are not those of the last build. */

import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { buildInputs, outputsOfRemoved } from './sources.mjs';

const STAMP = 'dist/.tradefleet-build.json';
const SCHEMA = 1;
const BUILD_TIMEOUT_MS = 5 * 60_000;

export const buildStep = {
  name: 'build',

  /** @returns {Promise<string>} */
  async run({ root, machine, reporter }) {
    const inputs = buildInputs(root);
    const last = readStamp(root);
    const complete = inputs.entries.every((path) => existsSync(join(root, path)));
    if (last?.hash === inputs.hash && complete) return `${inputs.sources.length} sources, up to date`;

    reporter.doing('nest build --all --parallel');
    removeStale(root, last, inputs.sources);
    const node = bundledNode(root, machine);
    const nest = join(root, 'node_modules/@nestjs/cli/bin/nest.js');
    await machine.run(node, [nest, 'build', '--all', '--parallel'], {
      cwd: root,
      env: { ...machine.env, PATH: [dirname(node), machine.env.PATH].join(delimiter) },
      timeoutMs: BUILD_TIMEOUT_MS,
      remedy: 'Correct the sources named above; `npx tsc --noEmit` says more about types.',
      onLine: (line) => reporter.progress(line),
    });
    mkdirSync(join(root, 'dist'), { recursive: true });
    writeFileSync(
      join(root, STAMP),
      JSON.stringify({ schema: SCHEMA, hash: inputs.hash, sources: inputs.sources }),
    );
    return `${inputs.sources.length} sources compiled`;
  },
};

/** The Node that the package `node` brings, which is the version the platform is made for. */
function bundledNode(root, machine) {
  const bundled = join(root, 'node_modules/node/bin/node');
  return machine.isExecutable(bundled) ? bundled : process.execPath;
}

function readStamp(root) {
  try {
    const stamp = JSON.parse(readFileSync(join(root, STAMP), 'utf8'));
    return stamp.schema === SCHEMA && Array.isArray(stamp.sources) ? stamp : undefined;
  } catch {
    return undefined;
  }
}

/**
 * Removes only what no source stands behind any more, because services of this tree may be
 * running from dist. Without knowledge of the last build everything goes.
 */
function removeStale(root, last, sources) {
  rmSync(join(root, STAMP), { force: true });
  if (last === undefined) rmSync(join(root, 'dist'), { recursive: true, force: true });
  else outputsOfRemoved(last.sources, sources).forEach((path) => rmSync(join(root, path), { force: true }));
}

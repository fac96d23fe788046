/** Which TypeScript sources the build is made from, as one hash and a list. */

import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const FILES_MAX = 20_000;
const LEFT_OUT_FOLDERS = new Set(['node_modules', 'dist', 'coverage']);
/** Files besides the sources that change what the build makes of them. */
const CONFIGURATION = ['nest-cli.json', 'tsconfig.json', '.swcrc', 'package.json', 'package-lock.json'];

/**
 * @param {string} root the repository
 * @returns {{hash: string, sources: string[], entries: string[]}} `sources` are compiled files,
 *   `entries` the compiled files that services are started by; all relative to the root
 */
export function buildInputs(root) {
  const projects = Object.values(JSON.parse(readFileSync(join(root, 'nest-cli.json'), 'utf8')).projects);
  const found = projects.flatMap(({ root: folder }) => filesBelow(root, folder)).sort();
  const isCompiled = (path) => path.endsWith('.ts') && !/\.(spec|d)\.ts$/.test(path);
  const isConfiguration = (path) => /(^|\/)tsconfig[^/]*\.json$/.test(path);
  const sources = found.filter(isCompiled);
  const configuration = [
    ...CONFIGURATION.filter((name) => existsSync(join(root, name))),
    ...found.filter(isConfiguration),
  ];

  const hash = createHash('sha256');
  for (const path of [...configuration, ...sources]) {
    const content = readFileSync(join(root, path));
    hash.update(`${path}\0${content.length}\0`).update(content);
  }
  const entries = projects
    .filter(
      ({ type, sourceRoot, entryFile }) =>
        type === 'application' && sources.includes(`${sourceRoot}/${entryFile}.ts`),
    )
    .map(({ sourceRoot, entryFile }) => `dist/${sourceRoot}/${entryFile}.js`);
  return { hash: hash.digest('hex'), sources, entries };
}

function filesBelow(root, folder) {
  const files = [];
  const walk = (path) => {
    for (const entry of readdirSync(join(root, path), { withFileTypes: true })) {
      if (entry.isDirectory() && !LEFT_OUT_FOLDERS.has(entry.name)) walk(`${path}/${entry.name}`);
      else if (entry.isFile()) files.push(`${path}/${entry.name}`);
      if (files.length > FILES_MAX) throw new Error(`${folder} has more than ${FILES_MAX} files`);
    }
  };
  if (existsSync(join(root, folder))) walk(folder);
  return files;
}

/**
 * What the build left behind for sources that are gone.
 * @param {readonly string[]} before sources of the last build @param {readonly string[]} now
 * @returns {string[]} paths in dist, whether or not they are there
 */
export function outputsOfRemoved(before, now) {
  const present = new Set(now);
  return before
    .filter((path) => !present.has(path))
    .map((path) => `dist/${path.replace(/\.ts$/, '')}`)
    .flatMap((stem) => [`${stem}.js`, `${stem}.js.map`, `${stem}.d.ts`]);
}

/** The files of bot-fourni that run in a container; the content hash of an image is made over them. */

import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { extname, join } from 'node:path';

const FOLDER = 'bot-fourni';
/** Kept in step with docker/paper-bot.Dockerfile.dockerignore by a test. */
export const RUNTIME_EXTENSIONS = ['.py', '.csv', '.json'];
export const LEFT_OUT_FOLDERS = ['tests', '__pycache__'];
const FILES_MAX = 2_000;

/**
 * @param {string} root the repository
 * @returns {{path: string, content: Buffer}[]} sorted by path; paths are relative to the root
 */
export function runtimeFiles(root) {
  const files = [];
  const walk = (folder) => {
    for (const entry of readdirSync(join(root, folder), { withFileTypes: true })) {
      const path = `${folder}/${entry.name}`;
      if (entry.name.startsWith('.')) continue;
      if (entry.isDirectory() && !LEFT_OUT_FOLDERS.includes(entry.name)) walk(path);
      if (entry.isFile() && RUNTIME_EXTENSIONS.includes(extname(entry.name))) files.push(path);
      if (files.length > FILES_MAX) throw new Error(`${FOLDER} has more than ${FILES_MAX} files`);
    }
  };
  walk(FOLDER);
  // By code unit, so that the order is the same under every locale.
  files.sort((a, b) => (a < b ? -1 : 1));
  return files.map((path) => ({ path, content: readFileSync(join(root, path)) }));
}

/**
 * @param {readonly {path: string, content: Buffer}[]} files
 * @param {readonly string[]} inputs whatever else the result depends on
 * @returns {string} 12 hexadecimal digits
 */
export function contentHash(files, inputs) {
  const hash = createHash('sha256');
  // Lengths first, so that no two different lists can run together into the same bytes.
  for (const input of inputs) hash.update(`${Buffer.byteLength(input)}:${input}\n`);
  for (const { path, content } of files) hash.update(`${path}\0${content.length}\0`).update(content);
  return hash.digest('hex').slice(0, 12);
}

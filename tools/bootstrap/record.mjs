/** `.tradefleet/bootstrap.json`: what the bootstrap found, for the local fleet and the tests. */

import { chmodSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

const SCHEMA = 1;

/** @param {string} root the repository */
export function recordPath(root) {
  return join(root, '.tradefleet', 'bootstrap.json');
}

/** The last record, or an empty one when there is none or it is not readable as one. @param {string} root */
export function readRecord(root) {
  const empty = { schema: SCHEMA, natsServer: null, docker: null, images: { paper: null }, python: null };
  try {
    const record = JSON.parse(readFileSync(recordPath(root), 'utf8'));
    return record.schema === SCHEMA ? { ...empty, ...record } : empty;
  } catch {
    return empty;
  }
}

/** Writes it in one step, so that a reader sees the old one or the new one. @param {string} root @param {object} record */
export function writeRecord(root, record) {
  const path = recordPath(root);
  const text = `${JSON.stringify(record, null, 2)}\n`;
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  chmodSync(dirname(path), 0o700);
  const temporary = `${path}.${process.pid}`;
  writeFileSync(temporary, text, { mode: 0o600 });
  renameSync(temporary, path);
}

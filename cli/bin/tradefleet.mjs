#!/usr/bin/env node
/**
 * Starts the built command line under a Node that is new enough: this one, or the one the package `node` brings.
 * Node builtins only, so that it runs anywhere and can say what is missing.
 */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { constants } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const NODE_MAJOR_MIN = 22;
const EXIT_UNAVAILABLE = 3;

const root = join(dirname(fileURLToPath(import.meta.url)), '../..');
const main = join(root, 'dist/cli/src/main.js');
const pinned = join(root, 'node_modules/node/bin/node');

function fail(message) {
  process.stderr.write(`${message}\n`);
  process.exitCode = EXIT_UNAVAILABLE;
}

function runUnder(node) {
  const child = spawn(node, [main, ...process.argv.slice(2)], { stdio: 'inherit' });
  // A terminal sends Ctrl-C to both; the child decides what it means. Others are handed on.
  process.on('SIGINT', () => undefined);
  for (const signal of ['SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal));
  child.on('error', (error) => fail(`${node} cannot be run: ${error.message}`));
  child.on('exit', (code, signal) => {
    process.exitCode = code ?? 128 + (constants.signals[signal] ?? 1);
  });
}

if (!existsSync(main))
  fail(`tradefleet is not built: run npm run build in ${root} first (npm start does, too).`);
else if (Number(process.versions.node.split('.')[0]) >= NODE_MAJOR_MIN)
  await import(pathToFileURL(main).href);
else if (existsSync(pinned)) runUnder(pinned);
else fail(`tradefleet needs Node ${NODE_MAJOR_MIN} or newer: run npm ci in ${root}, which brings one.`);

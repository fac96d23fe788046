import 'reflect-metadata';
import { ProblemError } from '#libs/contracts';
import { repositoryRoot } from '#libs/testing';
import { commandLine } from './arguments.js';
import { FleetPaths } from './fleet.paths.js';
import { showStatus } from './status.command.js';
import { start } from './start.command.js';
import { stop } from './stop.command.js';

const paths = new FleetPaths(repositoryRoot());

commandLine({
  start: (options) => start(options, paths),
  stop: () => stop(paths),
  status: ({ json }) => showStatus(paths, json),
})
  .parseAsync()
  .catch((error: unknown) => {
    const text =
      error instanceof ProblemError ? error.detail : error instanceof Error ? error.message : String(error);
    console.error(text);
    process.exitCode = 1;
  });

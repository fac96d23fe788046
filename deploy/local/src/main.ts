import 'reflect-metadata';
import { ProblemError } from '#libs/contracts';
import { repositoryRoot } from '#libs/testing';
import { commandLine, type CommonArguments } from './arguments.js';
import { FleetPaths } from './fleet.paths.js';
import { showStatus } from './status.command.js';
import { start } from './start.command.js';
import { stop } from './stop.command.js';

const pathsOf = ({ state }: CommonArguments) => new FleetPaths(repositoryRoot(), state);

commandLine({
  start: (options) => start(options, pathsOf(options)),
  stop: (options) => stop(pathsOf(options)),
  status: (options) => showStatus(pathsOf(options), options.json),
})
  .parseAsync()
  .catch((error: unknown) => {
    const text =
      error instanceof ProblemError ? error.detail : error instanceof Error ? error.message : String(error);
    console.error(text);
    process.exitCode = 1;
  });

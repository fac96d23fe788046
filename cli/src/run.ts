import { CommanderError } from 'commander';
import { exitCodes } from './exit.codes.js';
import { commandLine } from './command.line.js';
import type { Surroundings } from './surroundings.js';

/** Carries out one command line, without the program's name. Answers with the exit code; never throws for bad input. */
export async function run(args: readonly string[], surroundings: Surroundings): Promise<number> {
  let code: number = exitCodes.ok;
  const program = commandLine(surroundings, (ended) => {
    code = ended;
  });
  try {
    await program.parseAsync([...args], { from: 'user' });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    // Help and version end the same way as faults do; commander has told everything already.
    return error.exitCode === 0 ? exitCodes.ok : exitCodes.usage;
  }
  return code;
}

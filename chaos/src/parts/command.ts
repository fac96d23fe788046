import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

const execute = promisify(execFile);
const output_bytes_max = 16 * 1024 * 1024;

/** Runs a program to its end and gives what it printed. Throws with what it complained about. */
export async function command(
  program: string,
  args: readonly string[],
  timeout_ms = 10_000,
): Promise<string> {
  try {
    const { stdout } = await execute(program, [...args], {
      timeout: timeout_ms,
      killSignal: 'SIGKILL',
      maxBuffer: output_bytes_max,
    });
    return stdout;
  } catch (error) {
    const told = error as { stderr?: string; killed?: boolean };
    const why = told.killed === true ? `took longer than ${timeout_ms} ms` : (told.stderr ?? '').trim();
    throw new Error(`${program} ${args.join(' ')}: ${why}`, { cause: error });
  }
}

/** The same, where the end is what counts: whether it went well. */
export async function succeeds(
  program: string,
  args: readonly string[],
  timeout_ms = 10_000,
): Promise<boolean> {
  try {
    await command(program, args, timeout_ms);
    return true;
  } catch {
    return false; // the answer to the question
  }
}

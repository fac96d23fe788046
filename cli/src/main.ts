import { SystemClock } from '#libs/clock';
import { join } from 'node:path';
import { exitCodes } from './exit.codes.js';
import { run } from './run.js';

const interrupted = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => interrupted.abort());

// The reader of a pipe may go before all is written (`tradefleet events | head`); that is no error.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0);
  throw error;
});

const code = await run(process.argv.slice(2), {
  stdin: process.stdin,
  stdout: process.stdout,
  stderr: process.stderr,
  env: process.env,
  // npm runs scripts in the checkout; paths are meant from where the person is.
  cwd: process.env['INIT_CWD'] ?? process.cwd(),
  // dist/cli/src -> the checkout
  repositoryRoot: join(import.meta.dirname, '../../..'),
  clock: new SystemClock(),
  interrupted: interrupted.signal,
});
// Whatever still waits for an answer is of no interest any more.
if (code === exitCodes.interrupted) process.exit(code);
process.exitCode = code;
// A terminal that was read from would keep the process alive.
process.stdin.destroy();

import type { EndReason } from '#libs/contracts';
import type { TaskExit } from '../drivers/driver.js';

/** Exit codes of supervisor and bot (the numbers of sysexits.h), and what an end with one means. */
const meanings: Readonly<Record<number, { reason: EndReason; detail: string }>> = {
  0: { reason: 'exited', detail: 'The bot ended by itself.' },
  65: { reason: 'start-failed', detail: 'The bot could not use a file it was given.' },
  69: { reason: 'exited', detail: 'The broker or the terminal could not be reached.' },
  70: { reason: 'exited', detail: 'The bot met a defect; its log has more.' },
  75: { reason: 'lease-ended', detail: 'The supervisor ended the bot because its lease had ended.' },
  77: { reason: 'login-refused', detail: 'The broker refused the login.' },
  78: { reason: 'bad-configuration', detail: 'A parameter of the bot is unknown or out of its range.' },
};

/** What an exit that nobody asked for means. Pure. */
export function reasonOfExit(exit: TaskExit): { reason: EndReason; detail: string } {
  if (exit.outOfMemory) return { reason: 'out-of-memory', detail: 'The bot used more memory than it may.' };
  if (exit.unknown || exit.exitCode === null) {
    return { reason: 'exited', detail: 'The container is gone; how it ended is not known.' };
  }
  const meaning = meanings[exit.exitCode];
  if (meaning !== undefined) return meaning;
  if (exit.exitCode > 128 && exit.exitCode < 193) {
    return { reason: 'exited', detail: `The bot was ended by signal ${exit.exitCode - 128}.` };
  }
  return { reason: 'exited', detail: `The bot ended with code ${exit.exitCode}.` };
}

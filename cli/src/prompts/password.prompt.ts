import { Interrupted, UsageError } from '../exit.codes.js';
import type { Surroundings } from '../surroundings.js';

/** Longest password the platform takes, in characters; more is refused, not cut. */
const password_chars_max = 256;

/**
 * Asks for a password on the terminal without showing it. Throws `Interrupted` at Ctrl-C and `UsageError` when there
 * is no terminal or nothing was typed.
 */
export async function askPassword(
  question: string,
  { stdin, stderr }: Pick<Surroundings, 'stdin' | 'stderr'>,
): Promise<string> {
  if (stdin.isTTY !== true || stdin.setRawMode === undefined)
    throw new UsageError('Give --password-file: there is no terminal to type a password on.');
  stderr.write(question);
  stdin.setRawMode(true); // no echo, and every key by itself
  try {
    return await typed(stdin);
  } finally {
    stdin.setRawMode(false);
    stdin.pause();
    stderr.write('\n');
  }
}

function typed(stdin: Surroundings['stdin']): Promise<string> {
  let password = '';
  return new Promise((resolve, reject) => {
    let ended = false;
    const end = (settle: () => void) => {
      ended = true;
      stdin.off('data', read);
      settle();
    };
    const read = (chunk: Buffer | string): void => {
      const fault = (error: Error) => end(() => reject(error));
      for (const character of chunk.toString('utf8')) {
        const key = keyOf(character);
        if (key === 'interrupt') fault(new Interrupted('Interrupted.'));
        else if (key === 'enter') end(() => resolve(password));
        else password = after(password, key, character);
        if (password.length > password_chars_max)
          fault(new UsageError(`A password has at most ${password_chars_max} characters.`));
        if (ended) return;
      }
    };
    stdin.on('data', read);
    stdin.once('end', () => end(() => resolve(password)));
    stdin.resume();
  });
}

type Key = 'interrupt' | 'enter' | 'erase' | 'clear' | 'ignored' | 'text';

const keys: Record<string, Key> = {
  '\x03': 'interrupt',
  '\r': 'enter',
  '\n': 'enter',
  '\x04': 'enter',
  '\x7f': 'erase',
  '\b': 'erase',
  '\x15': 'clear', // Ctrl-U
};

const keyOf = (character: string): Key => keys[character] ?? (/\p{Cc}/u.test(character) ? 'ignored' : 'text');

function after(password: string, key: Key, character: string): string {
  if (key === 'erase') return Array.from(password).slice(0, -1).join('');
  if (key === 'clear') return '';
  return key === 'text' ? password + character : password;
}

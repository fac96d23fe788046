import { createInterface } from 'node:readline/promises';
import type { Surroundings } from '../surroundings.js';

/** Asks on the terminal; only `y` and `yes` mean yes. */
export async function confirmed(
  question: string,
  { stdin, stderr, interrupted }: Pick<Surroundings, 'stdin' | 'stderr' | 'interrupted'>,
): Promise<boolean> {
  const lines = createInterface({ input: stdin, output: stderr, terminal: false });
  try {
    const closed = new Promise<string>((resolve) => lines.once('close', () => resolve('')));
    const answer = await Promise.race([
      lines.question(`${question} [y/N] `, { signal: interrupted }),
      closed,
    ]);
    return /^y(es)?$/i.test(answer.trim());
  } finally {
    lines.close();
  }
}

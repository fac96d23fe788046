import { request } from 'node:http';

const line_chars_max = 1024 * 1024;

/**
 * Reads a response that has no end line by line until the signal aborts. Resolves when the server has begun to answer,
 * so that what happens from then on is seen.
 */
export async function readServerLines(
  socketPath: string,
  path: string,
  signal: AbortSignal,
  onLine: (line: string) => void,
): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const asked = request({ socketPath, path, signal }, (answer) => {
      if (answer.statusCode !== 200) reject(new Error(`${path}: ${answer.statusCode ?? 'no status'}`));
      let unfinished = '';
      answer.setEncoding('utf8');
      answer.on('data', (chunk: string) => {
        const lines = (unfinished + chunk).split('\n');
        unfinished = lines.pop() ?? '';
        if (unfinished.length > line_chars_max) asked.destroy(new Error(`${path}: a line is too long`));
        for (const line of lines) if (line.trim() !== '') onLine(line);
      });
      answer.on('error', () => undefined); // the abort
      resolve();
    });
    asked.on('error', reject);
    asked.end();
  });
}

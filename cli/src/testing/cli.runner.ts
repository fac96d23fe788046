import { afterAll } from '@jest/globals';
import { SystemClock } from '#libs/clock';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { run } from '../run.js';
import type { Input, Output } from '../surroundings.js';
import type { GatewayDouble } from './gateway.double.js';

export interface Ran {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly gateway?: GatewayDouble;
  /** Answers typed on a terminal, each once something has been asked. */
  readonly typed?: readonly string[];
  /** What stands on standard input when it is no terminal. */
  readonly input?: string;
  readonly terminal?: boolean;
  readonly env?: NodeJS.ProcessEnv;
  readonly cwd?: string;
  readonly interrupted?: AbortSignal;
  /** Sees everything that is written, as it is written. */
  readonly watch?: (text: string) => void;
}

/** Runs one command line in this process, with standard streams and a home of its own. */
export async function runCli(args: readonly string[], options: RunOptions = {}): Promise<Ran> {
  const { gateway, typed = [], input, terminal = false, watch } = options;
  const cwd = options.cwd ?? emptyFolder();
  const env: NodeJS.ProcessEnv = { ...options.env };
  if (gateway !== undefined) {
    env['TRADEFLEET_GATEWAY_URL'] ??= gateway.url;
    env['TRADEFLEET_TOKEN_FILE'] ??= tokenFile(cwd, gateway.token);
  }
  const stdin: Input = new PassThrough();
  const answers = [...typed];
  const stdout = collecting(terminal, watch);
  const stderr = collecting(terminal, (text) => {
    watch?.(text);
    if (!/[:\]] $/.test(text)) return;
    const answer = answers.shift();
    if (answer !== undefined) (stdin as PassThrough).write(`${answer}\n`);
  });
  if (terminal) Object.assign(stdin, { isTTY: true, setRawMode: () => stdin });
  else (stdin as PassThrough).end(input ?? '');
  const code = await run(args, {
    stdin,
    stdout: stdout.stream,
    stderr: stderr.stream,
    env,
    cwd,
    repositoryRoot: cwd,
    clock: new SystemClock(),
    interrupted: options.interrupted ?? new AbortController().signal,
  });
  return { code, stdout: stdout.text(), stderr: stderr.text() };
}

/** Gone with the spec that asked for it. */
export function emptyFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'tradefleet-cli-'));
  folders.push(folder);
  return folder;
}

const folders: string[] = [];
afterAll(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});

export function tokenFile(folder: string, token: string): string {
  const path = join(folder, 'token');
  writeFileSync(path, `${token}\n`, { mode: 0o600 });
  return path;
}

function collecting(
  terminal: boolean,
  watch?: (text: string) => void,
): { stream: Output; text: () => string } {
  const chunks: string[] = [];
  const stream: Output = new PassThrough();
  if (terminal) Object.assign(stream, { isTTY: true, columns: 120 });
  stream.write = ((chunk: Buffer | string) => {
    chunks.push(chunk.toString());
    watch?.(chunk.toString());
    return true;
  }) as Output['write'];
  return { stream, text: () => chunks.join('') };
}

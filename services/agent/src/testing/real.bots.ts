import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readBootstrapRecord, repositoryRoot } from '#libs/testing';

/** A new folder in memory where the machine has one. */
export async function folderInMemory(): Promise<string> {
  return await mkdtemp(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'tradefleet-run-'));
}

/** The bot's supervisor in this repository. */
export const supervisorPath = (): string => join(repositoryRoot(), 'bot-fourni', 'supervisor.py');

/** A Python with the packages of the bots: the bootstrap's, else the one the tools of the bots make. */
export function botPython(): string {
  const recorded = readBootstrapRecord()?.python?.path;
  if (recorded !== undefined && existsSync(recorded)) return recorded;
  const tool = join(repositoryRoot(), 'tools', 'python.mjs');
  const printed = execFileSync(process.execPath, [tool, 'path'], {
    encoding: 'utf8',
    timeout: 600_000,
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  return printed.trim().split('\n').at(-1) ?? '';
}

/** A strategy that trades much in little time. */
export const busy = { paperSpeed: 600, paperSeed: 7 } as const;

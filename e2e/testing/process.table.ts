import { readdirSync, readFileSync } from 'node:fs';

/** A process, with what it was started as. */
export interface ProcessEntry {
  readonly pid: number;
  readonly command: string;
  readonly environment: readonly string[];
}

/** All processes whose arguments or environment name the text: those of a fleet name its state folder. */
export function processesNaming(...texts: readonly string[]): ProcessEntry[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => {
      const pid = Number(name);
      const command = readProc(pid, 'cmdline').replaceAll('\0', ' ').trim();
      const environment = readProc(pid, 'environ').split('\0');
      const named = texts.some(
        (text) => command.includes(text) || environment.some((entry) => entry.includes(text)),
      );
      return named && !isDead(pid) ? [{ pid, command, environment }] : [];
    });
}

/** Lines of `/proc/<pid>/status` by their names: what the kernel enforces, whatever was configured. */
export function kernelStatus(pid: number): Record<string, string> {
  const lines = readFileSync(`/proc/${pid}/status`, 'utf8').trim().split('\n');
  return Object.fromEntries(
    lines.map((line) => {
      const colon = line.indexOf(':');
      return [line.slice(0, colon), line.slice(colon + 1).trim()];
    }),
  );
}

export function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return !isDead(pid);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** A zombie holds nothing any more; whoever started it has not asked yet how it ended. */
function isDead(pid: number): boolean {
  const stat = readProc(pid, 'stat');
  return stat === '' || stat.slice(stat.lastIndexOf(')') + 2).startsWith('Z');
}

/** Empty for a process that has just ended, and for one that is somebody else's. */
function readProc(pid: number, file: string): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ESRCH' || code === 'EACCES') return '';
    throw error;
  }
}

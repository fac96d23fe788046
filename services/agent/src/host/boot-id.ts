import { readFile } from 'node:fs/promises';

/**
 * Names this boot of the machine: deadlines on CLOCK_BOOTTIME and files in memory mean nothing after the next one.
 * Where the system does not tell (development on macOS), every start of the agent counts as a boot.
 */
export async function readBootId(incarnation: string): Promise<string> {
  return (await bootIdOfMachine()) ?? incarnation;
}

/** Null where the system does not tell. */
export async function bootIdOfMachine(): Promise<string | null> {
  if (process.platform !== 'linux') return null;
  return (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim();
}

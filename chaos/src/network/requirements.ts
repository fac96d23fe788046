import { command } from '../parts/command.js';

/** Exit code of a machine on which this cannot be done (EX_CONFIG of sysexits). */
export const exit_not_possible = 78;

/** What a machine needs: told in one sentence, null when it has all of it. */
export async function whyNotPossible(): Promise<string | null> {
  if (process.platform !== 'linux') return 'Faults are made with network namespaces, which only Linux has.';
  if (process.getuid?.() !== 0)
    return 'Network namespaces and container engines of their own need root; run it as root.';
  for (const [program, args] of programs) {
    try {
      await command(program, args);
    } catch (error) {
      return `${program} cannot be used here: ${error instanceof Error ? error.message : String(error)}`;
    }
  }
  return await whyNoNamespace();
}

const programs: readonly (readonly [string, readonly string[]])[] = [
  ['ip', ['-V']],
  ['nsenter', ['--version']],
  ['iptables', ['--version']],
  ['dockerd', ['--version']],
  ['docker', ['--version']],
];

/** Containers often run as root without being allowed to do what root does. */
async function whyNoNamespace(): Promise<string | null> {
  const name = `tftry-${process.pid}`;
  try {
    await command('ip', ['netns', 'add', name]);
    await command('ip', ['netns', 'delete', name]);
    return null;
  } catch (error) {
    return `No network namespace can be made here: ${error instanceof Error ? error.message : String(error)}`;
  }
}

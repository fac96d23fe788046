import { existsSync, readFileSync, rmSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { basename } from 'node:path';
import { z } from 'zod';
import { Network } from '../network/network.js';
import { command } from './command.js';
import { commandLineOf, processes, signal, treeOf } from './processes.js';
import { identify, isAlive, ProcessIdentity } from '../../../deploy/local/src/fleet.record.js';
import { writeFileAtomically } from '../../../deploy/local/src/files.js';

/** What a run has made outside of its folder, so that the next one can remove what a killed one has left. */
const RunRecord = z.strictObject({
  schema: z.literal(1),
  main: ProcessIdentity,
  id: z.string().regex(/^[a-z0-9]{2,6}$/),
  block: z.int().min(0).max(255),
  hosts: z.array(z.string().regex(/^host-[a-z]$/)).max(10),
  /** Folders whose processes, mounts and files are this run's alone. */
  folders: z.array(z.string().regex(/^\/[^ ]+\/[^ ]+$/)).max(20),
});
export type RunRecord = z.infer<typeof RunRecord>;

const end_ms_max = 10_000;
const look_ms = 50;

export function recordRun(path: string, record: Omit<RunRecord, 'schema' | 'main'>): void {
  writeFileAtomically(
    path,
    `${JSON.stringify({ schema: 1, main: identify(process.pid), ...record }, null, 2)}\n`,
  );
}

/** Removes what an earlier run has left. Throws when that run is still going on. @returns whether there was any */
export async function removeLeftovers(path: string): Promise<boolean> {
  if (!existsSync(path)) return false;
  const record = RunRecord.parse(JSON.parse(readFileSync(path, 'utf8')));
  if (record.main.pid !== process.pid && isAlive(record.main))
    throw new Error(
      `A run is going on (pid ${record.main.pid}); end it with Ctrl-C, or use another --state.`,
    );
  await removeAll(record);
  rmSync(path, { force: true });
  return true;
}

/** Ends the processes of a run, then removes its mounts, its networks and its folders, in this order. */
export async function removeAll(
  record: Pick<RunRecord, 'id' | 'block' | 'hosts' | 'folders'>,
): Promise<void> {
  await endProcesses(record.folders);
  await unmount(record.folders);
  await new Network(record.id, record.block, record.hosts).remove();
  // An engine's folder has tens of thousands of files.
  await Promise.all(record.folders.map(async (folder) => await rm(folder, { recursive: true, force: true })));
}

/**
 * Those that name one of the folders among their arguments (engines, and what holds a container for them), and all below
 * them: containers outlive an engine that was killed.
 */
async function endProcesses(folders: readonly string[]): Promise<void> {
  const deadline_ms = performance.now() + end_ms_max;
  for (;;) {
    const rows = processes().filter(({ state }) => state !== 'Z');
    const own = rows.filter(({ pid }) => pid !== process.pid && names(commandLineOf(pid), folders));
    const all = new Set(own.flatMap(({ pid }) => treeOf(pid, rows)));
    all.delete(process.pid);
    if (all.size === 0) return;
    if (performance.now() > deadline_ms)
      throw new Error(`These processes do not end: ${[...all].join(', ')}.`);
    for (const pid of all) {
      signal(pid, 'SIGKILL');
      signal(pid, 'SIGCONT');
    }
    await new Promise((resolve) => setTimeout(resolve, look_ms));
  }
}

/** Whoever else has such a folder among its arguments, an editor or a pager, is none of ours. */
const programs = ['dockerd', 'containerd', 'containerd-shim-runc-v2', 'runc'];

function names(line: string, folders: readonly string[]): boolean {
  const [program = '', ...words] = line.split(/[ =]/);
  if (!programs.includes(basename(program))) return false;
  return words.some((word) => folders.some((folder) => isWithin(word.replace('unix://', ''), folder)));
}

async function unmount(folders: readonly string[]): Promise<void> {
  const points = readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .map((line) => line.split(' ')[4] ?? '')
    .filter((point) => folders.some((folder) => isWithin(point, folder)));
  // What is mounted below others comes later in the list.
  for (const point of points.reverse()) await command('umount', ['-l', point]);
}

const isWithin = (path: string, folder: string): boolean => path === folder || path.startsWith(`${folder}/`);

import { readFileSync, rmSync } from 'node:fs';
import { z } from 'zod';
import { writeFileAtomically } from './files.js';

/** A process that can be told from a later one with the same number. */
export const ProcessIdentity = z.strictObject({
  pid: z.int().min(1),
  /** Start time in clock ticks since boot, from /proc/<pid>/stat; null where there is no /proc. */
  startTicks: z.string().nullable(),
});
export type ProcessIdentity = z.infer<typeof ProcessIdentity>;

/** The running local fleet, as its main process writes it. */
export const FleetRecord = z.strictObject({
  schema: z.literal(1),
  main: ProcessIdentity,
  startedAt: z.iso.datetime(),
  driver: z.enum(['docker', 'process', 'simulated']),
  hosts: z.array(z.string()),
  /** Name of this installation: in the labels of its containers, networks and volumes. */
  fleet: z.string(),
  gatewayUrl: z.string(),
  natsUrl: z.string(),
  /** False until the first bots run. */
  ready: z.boolean(),
});
export type FleetRecord = z.infer<typeof FleetRecord>;

export function identify(pid: number): ProcessIdentity {
  return { pid, startTicks: startTicksOf(pid) };
}

/** Whether that very process still runs. */
export function isAlive(identity: ProcessIdentity): boolean {
  try {
    process.kill(identity.pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
  return identity.startTicks === null || startTicksOf(identity.pid) === identity.startTicks;
}

/** Field 22 of /proc/<pid>/stat; the command's name before it may hold spaces and brackets. */
function startTicksOf(pid: number): string | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? null;
  } catch {
    return null;
  }
}

/** The fleet that runs now, or null. A record whose process is gone is removed. */
export function readRunningFleet(path: string): FleetRecord | null {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
  const parsed = FleetRecord.safeParse(JSON.parse(text));
  if (parsed.success && isAlive(parsed.data.main)) return parsed.data;
  rmSync(path, { force: true });
  return null;
}

export function writeFleetRecord(path: string, record: FleetRecord): void {
  writeFileAtomically(path, `${JSON.stringify(record, null, 2)}\n`);
}

import { type ChildProcess, spawn } from 'node:child_process';
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { repositoryRoot } from '#libs/testing';
import type { AuditFleet } from '../audit/audit.fleet.js';
import { MemoryWatch, type Peak } from './memory.watch.js';

/** One way out of the log. */
export interface ExportRun {
  readonly name: string;
  readonly elapsed_ms: number;
  readonly bytes: number;
  /** Lines, a head not among them; null where they were not counted. */
  readonly events: number | null;
  readonly memory: Readonly<Record<string, Peak>>;
}

const newline = 0x0a;
const command_ms_max = 3_600_000;

/** Reads an export of all events to its end, as fast as it comes, and keeps nothing of it. */
export async function overHttp(fleet: AuditFleet, format: 'ndjson' | 'csv'): Promise<ExportRun> {
  let bytes = 0;
  let lines = 0;
  const watch = new MemoryWatch(servicePids(fleet), () => bytes);
  const begin_ms = performance.now();
  const read = async (): Promise<void> => {
    const response = await fetch(`${fleet.gatewayUrl}/api/v1/events/export?format=${format}`, {
      headers: { authorization: `Bearer ${fleet.adminToken}` },
      signal: AbortSignal.timeout(command_ms_max),
    });
    if (!response.ok || response.body === null)
      throw new Error(`The gateway answers ${response.status}: ${await response.text()}`);
    for await (const piece of response.body as unknown as AsyncIterable<Uint8Array>) {
      bytes += piece.length;
      for (let at = piece.indexOf(newline); at >= 0; at = piece.indexOf(newline, at + 1)) lines += 1;
    }
  };
  const memory = await read()
    .finally(() => watch.end())
    .then(() => watch.end());
  const elapsed_ms = performance.now() - begin_ms;
  const events = format === 'csv' ? lines - 1 : lines;
  return { name: `${format} over the gateway`, elapsed_ms, bytes, events, memory };
}

/** `tradefleet audit export`: the records as they were hashed, into a file. */
export async function exportByCli(fleet: AuditFleet, file: string): Promise<ExportRun> {
  const gateway = ['--gateway', fleet.gatewayUrl, '--token-file', fleet.tokenFile];
  const args = [...gateway, 'audit', 'export', '--out', file];
  // Under another name until it is whole.
  const progress = (): number => Math.max(sizeOf(file), sizeOf(`${file}.part`));
  return await byCli(fleet, 'tradefleet audit export', args, progress);
}

/** `tradefleet audit verify`: by files alone, against the witness. Throws when it finds fault. */
export async function verifyByCli(fleet: AuditFleet, file: string): Promise<ExportRun> {
  const against = ['--against', fleet.witness, '--key', await fleet.logKeyFile()];
  const begin_ms = performance.now();
  const run = await byCli(
    fleet,
    'tradefleet audit verify',
    ['audit', 'verify', file, ...against],
    () => performance.now() - begin_ms,
  );
  return { ...run, bytes: sizeOf(file) };
}

async function byCli(
  fleet: AuditFleet,
  name: string,
  args: readonly string[],
  progress: () => number,
): Promise<ExportRun> {
  const cli = join(repositoryRoot(), 'cli', 'bin', 'tradefleet.mjs');
  const begin_ms = performance.now();
  const child = spawn(process.execPath, [cli, ...args], {
    ...{ stdio: ['ignore', 'pipe', 'pipe'], timeout: command_ms_max, killSignal: 'SIGKILL' },
    env: { PATH: process.env['PATH'] },
  });
  const said = outputOf(child);
  const pids = new Map([...servicePids(fleet), ['command line', child.pid ?? null] as const]);
  const watch = new MemoryWatch(pids, progress);
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('close', resolve);
    child.once('error', reject);
  });
  const elapsed_ms = performance.now() - begin_ms;
  const memory = watch.end();
  if (code !== 0) throw new Error(`${name} ended with ${code}: ${said()}`);
  return { name, elapsed_ms, bytes: progress(), events: null, memory };
}

/** The end of what it prints. */
function outputOf(child: ChildProcess): () => string {
  let text = '';
  for (const stream of [child.stdout, child.stderr])
    stream?.on('data', (piece: Buffer) => (text = (text + piece.toString('utf8')).slice(-4000)));
  return () => text;
}

const servicePids = (fleet: AuditFleet): Map<string, number | null> =>
  new Map([
    ['gateway', fleet.pid('gateway')],
    ['audit', fleet.pid('audit')],
  ]);

function sizeOf(file: string): number {
  try {
    return statSync(file).size;
  } catch {
    return 0; // not made yet
  }
}

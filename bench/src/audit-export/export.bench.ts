import { mkdtempSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { waitFor } from '#libs/testing';
import { AuditFleet } from '../audit/audit.fleet.js';
import { LogWatch } from '../audit/log.side.js';
import { progressSinceNow, unlessInterrupted } from '../bench.frame.js';
import { exportByCli, type ExportRun, overHttp, verifyByCli } from './export.runs.js';
import { fillLog } from './log.filling.js';
import { type ExportResult, reportOf } from './report.js';

export interface ExportArguments {
  readonly events: number;
  readonly json: boolean;
}

const postgres = { shared_buffers: '256MB', max_wal_size: '2GB' };
const checkpoint_ms_max = 300_000;

/** Every way to take the whole log out, and how much memory each process needs for it. */
export async function exportBench({ events, json }: ExportArguments): Promise<void> {
  const progress = progressSinceNow();
  progress('NATS, Postgres, audit service and gateway start');
  const folder = mkdtempSync(join(tmpdir(), 'tradefleet-bench-'));
  const fleet = await AuditFleet.start({ folder, hosts: [], postgres });
  try {
    const result = await unlessInterrupted(async () => await measure(fleet, events, progress));
    console.log(json ? JSON.stringify(result, null, 2) : `\n${reportOf(result)}`);
  } finally {
    progress('everything ends');
    await fleet.stop();
  }
}

async function measure(
  fleet: AuditFleet,
  events: number,
  progress: (what: string) => void,
): Promise<ExportResult> {
  await fleet.startService('audit');
  await fleet.startService('gateway');
  const filled_per_s = await fillLog(fleet.auditWriterUrl, events, progress);
  progress('a checkpoint of all');
  const watch = await LogWatch.connect(fleet.databaseUrl);
  try {
    await waitFor(async () => (await watch.checkpointSize()) >= events, {
      ...{ timeoutMs: checkpoint_ms_max, what: 'a checkpoint that covers all events' },
    });
  } finally {
    await watch.close();
  }
  const file = fleet.path('log.ndjson');
  const runs: ExportRun[] = [];
  for (const run of [
    async () => await overHttp(fleet, 'ndjson'),
    async () => await overHttp(fleet, 'csv'),
    async () => await exportByCli(fleet, file),
    async () => await verifyByCli(fleet, file),
  ]) {
    const done = await run();
    progress(`${done.name}: ${(done.elapsed_ms / 1000).toFixed(1)} s`);
    if (done.events !== null && done.events < events)
      throw new Error(`${done.name} gave ${done.events} of ${events} events.`);
    runs.push(done);
  }
  return { events, filled_per_s, runs, cpus: availableParallelism(), node: process.version };
}

import { mkdtempSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import type { LogRecord } from '#libs/contracts';
import { perSecond } from '../control/statistics.js';
import { progressSinceNow, unlessInterrupted } from '../bench.frame.js';
import { AuditFleet } from './audit.fleet.js';
import { CommitterSide, recordOf } from './committer.side.js';
import { measureLatency } from './latency.run.js';
import { cpuSince, LogSide, LogWatch } from './log.side.js';
import { RawTable } from './raw.table.js';
import { type AuditResult, ratiosOf, reportOf, type Round } from './report.js';
import { measureSteps } from './step.costs.js';
import { Workload } from './workload.js';

export interface AuditArguments {
  readonly events: number;
  readonly rounds: number;
  readonly batches: readonly number[];
  readonly rate: number;
  readonly seconds: number;
  readonly profile?: string;
  readonly json: boolean;
}

const hosts = ['host-001', 'host-002', 'host-003', 'host-004'];
/** As a small server of its own would have it; the same for both sides. */
const postgres = { shared_buffers: '256MB', max_wal_size: '2GB', checkpoint_timeout: '30min' };
/** Enough for compilers and caches to be warm. */
const warm_up_events = 5000;
const step_events = 4000;
/** Events in a transaction of the service, as it is set unless told otherwise. */
const batch = 1000;

/**
 * Measures how fast events become durable, deduplicated and proved by the real audit service, next to nothing but the
 * inserting of the same rows on the same Postgres. Rounds alternate: the service, then the raw side at each batch size,
 * in an order that turns round.
 */
export async function auditBench(options: AuditArguments): Promise<void> {
  const progress = progressSinceNow();
  progress('NATS, Postgres and the audit service start');
  const fleet = await AuditFleet.start({
    folder: mkdtempSync(join(tmpdir(), 'tradefleet-bench-')),
    ...{ hosts, postgres },
    ...(options.profile === undefined
      ? {}
      : { nodeFlags: ['--cpu-prof', `--cpu-prof-dir=${options.profile}`] }),
  });
  const open: { close(): Promise<void> }[] = [];
  try {
    await fleet.startService('audit');
    const result = await unlessInterrupted(async () => await measure(fleet, options, progress, open));
    console.log(
      options.json ? JSON.stringify({ ...result, ...ratiosOf(result) }, null, 2) : `\n${reportOf(result)}`,
    );
  } finally {
    progress('everything ends');
    for (const one of open) await one.close();
    await fleet.stop();
  }
}

async function measure(
  fleet: AuditFleet,
  { events, rounds, batches, rate, seconds }: AuditArguments,
  progress: (what: string) => void,
  open: { close(): Promise<void> }[],
): Promise<AuditResult> {
  const watch = await LogWatch.connect(fleet.databaseUrl);
  open.push(watch);
  const committer = await CommitterSide.connect(fleet.auditWriterUrl, batch);
  open.push(committer);
  const raws: RawTable[] = [];
  for (const rows of batches) {
    const raw = await RawTable.create(fleet.databaseUrl, rows);
    open.push(raw);
    raws.push(raw);
  }
  const workload = await Workload.create(await fleet.signer('scheduler'), hosts);
  const log = new LogSide(fleet, watch);
  progress(`warm-up with ${warm_up_events} events`);
  await log.record(await workload.registrations());
  const warm = await log.record(await workload.next(warm_up_events));
  const warmRows = await raws[0]?.readLog(warm.first, warm.end);
  for (const raw of raws) if (warmRows !== undefined) await raw.insert(warmRows);
  await committer.commit(await recordsOf(workload, warm_up_events));

  const measured: Round[] = [];
  const cpu_us: Record<string, number> = {};
  const addCpu = (name: string, cpu_ms: number): void => {
    cpu_us[name] = (cpu_us[name] ?? 0) + (cpu_ms * 1000) / (events * rounds);
  };
  for (let round = 0; round < rounds; round += 1) {
    const messages = await workload.next(events);
    const { elapsed_ms, cpu_ms, first, end, toCheckpoint_ms } = await log.record(messages);
    for (const [name, used_ms] of cpu_ms) addCpu(name, used_ms);
    const rows = await raws[0]?.readLog(first, end);
    const raw_per_s: Record<string, number> = {};
    for (const raw of round % 2 === 0 ? raws : [...raws].reverse()) {
      if (rows === undefined) continue;
      await watch.settleDisk();
      const before = fleet.costs();
      raw_per_s[String(raw.batch)] = perSecond(events, await raw.insert(rows));
      addCpu(`raw ${raw.batch}`, cpuSince(before, fleet.costs()).get('postgres') ?? 0);
    }
    const records = await recordsOf(workload, events);
    await watch.settleDisk();
    const commit_per_s = perSecond(events, await committer.commit(records));
    const log_per_s = perSecond(events, elapsed_ms);
    measured.push({ log_per_s, commit_per_s, raw_per_s, toCheckpoint_ms });
    const raw = Object.entries(raw_per_s).map(([batch, per_s]) => `raw ${batch}: ${per_s.toFixed(0)}/s`);
    progress(
      `round ${round + 1}: audit service ${log_per_s.toFixed(0)}/s, committer ${commit_per_s.toFixed(0)}/s, ${raw.join(', ')}`,
    );
  }

  const eventsPerSignature = workload.eventsPerSignature();
  progress(`${rate} events a second for ${seconds} s`);
  const latency = await measureLatency(fleet, watch, workload, { rate_per_s: rate, seconds });
  const [recorded, duplicates, quarantined, checkpointSize] = [
    await watch.size(),
    await watch.duplicates(),
    await watch.quarantined(),
    await watch.checkpointSize(),
  ];
  if (duplicates > 0 || quarantined > 0)
    throw new Error(`${duplicates} events are in the log twice, ${quarantined} were put aside.`);
  progress('each step by itself');
  const steps = await measureSteps(fleet, workload, step_events);
  return {
    ...{ events, eventsPerSignature, rounds: measured, latency, steps, cpu_us },
    ...{ recorded, duplicates, quarantined, checkpointSize },
    ...{ cpus: availableParallelism(), node: process.version },
  };
}

async function recordsOf(workload: Workload, count: number): Promise<LogRecord[]> {
  const recordedAt = new Date().toISOString();
  return (await workload.next(count)).map((message) => recordOf(message, recordedAt));
}

import { SystemClock, type Clock } from '#libs/clock';
import { Name, runtimeRef, type RuntimeRef } from '#libs/contracts';
import { execFile } from 'node:child_process';
import { mkdirSync, readdirSync } from 'node:fs';
import { cpus, totalmem } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { CpuMeter } from '../cpu-meter.js';
import {
  DriverError,
  type Driver,
  type DriverLog,
  type Fingerprint,
  type LiveAllocations,
  type LogLine,
  type PrepareStep,
  type Recovered,
  type TaskEvent,
  type TaskExit,
  type TaskHandle,
  type TaskRef,
  type TaskSpec,
  type TaskStats,
  type TaskStatus,
} from '../driver.js';
import { pause } from '../pause.js';
import { Semaphore } from '../semaphore.js';
import { AccountMutex } from './account-mutex.js';
import { launch } from './launch.js';
import { isAlive, leaderWith, residentMiB, startedAtMs, type ProcessIdentity } from './proc-table.js';
import { KILL_MS, killIfThere, killMembers, killTree, membersOf } from './process-tree.js';
import { RecordWatch } from './record-watch.js';
import { TaskLog } from './task-log.js';
import { TaskRecords, type TaskRecord } from './task-records.js';

export interface ProcessDriverOptions {
  readonly fleet: string;
  readonly host: string;
  /** Agents of one machine must share it: the mutex of accounts is a file in it. */
  readonly stateDir: string;
  /** The interpreter, and what it runs for each bot: `supervisor.py`. */
  readonly pythonPath: string;
  readonly supervisorPath: string;
  /** What it runs instead for other runtimes and versions: `{"paper@v2": "/opt/v2/supervisor.py"}`. */
  readonly supervisorPaths?: Readonly<Record<RuntimeRef, string>>;
  readonly botsMax?: number;
  readonly startsParallelMax?: number;
}

const BOTS_MAX = 100;
const STARTS_WAITING_MAX = 1000;
const POLL_MS = 100;
const TRIM_MS = 5_000;
const PYTHON_MS = 10_000;
const MIB = 1024 * 1024;

/**
 * Runs each allocation as a child process of its own session, for development without Docker, on Linux. Bots outlive
 * the agent. Nothing is isolated and resources are counted, not enforced: never for real accounts.
 */
export class ProcessDriver implements Driver {
  readonly runUser = null;
  readonly usesRunDir = true;
  private readonly records: TaskRecords;
  private readonly supervisors: ReadonlyMap<RuntimeRef, string>;
  private readonly mutex: AccountMutex;
  private readonly starts: Semaphore;
  private readonly meter = new CpuMeter();
  private readonly closing = new AbortController();
  /** Tasks whose end this process will be told by the kernel. */
  private readonly children = new Map<string, ProcessIdentity>();
  private readonly trimmer: NodeJS.Timeout;

  constructor(
    private readonly options: ProcessDriverOptions,
    private readonly log: DriverLog,
    private readonly clock: Clock = new SystemClock(),
  ) {
    Name.parse(options.fleet);
    Name.parse(options.host);
    this.records = new TaskRecords(options.stateDir);
    this.supervisors = new Map(Object.entries({ paper: options.supervisorPath, ...options.supervisorPaths }));
    this.mutex = new AccountMutex(this.records, options.fleet, options.host, log);
    mkdirSync(this.logRoot(), { recursive: true, mode: 0o700 });
    const onFull = (): Error => new DriverError('engine-refused', 'too many bots wait to be started', true);
    this.starts = new Semaphore(options.startsParallelMax ?? 4, STARTS_WAITING_MAX, onFull);
    this.trimmer = setInterval(() => this.trimLogs(), TRIM_MS).unref();
  }

  async fingerprint(): Promise<Fingerprint> {
    if (process.platform !== 'linux') {
      throw new DriverError('engine-refused', 'the process driver works on Linux only', false);
    }
    const { pythonPath, botsMax = BOTS_MAX } = this.options;
    const runtimes = [...this.supervisors.keys()];
    try {
      const { stdout } = await promisify(execFile)(pythonPath, ['--version'], { timeout: PYTHON_MS });
      const capacity = {
        cpuMillis: cpus().length * 1000,
        memoryMiB: Math.floor(totalmem() / MIB),
        bots: botsMax,
      };
      return { driver: 'process', version: stdout.trim(), runtimes, capacity };
    } catch (error) {
      throw new DriverError('engine-unavailable', `${pythonPath} does not run`, true, { cause: error });
    }
  }

  async prepare(step: PrepareStep, task: TaskSpec): Promise<void> {
    if (step === 'create') this.mutex.create(task);
  }

  async start(task: TaskSpec): Promise<TaskHandle> {
    return this.starts.run(async () => {
      const record = this.records.ofAccount(task.account);
      if (record?.allocation !== task.allocation) {
        throw new DriverError('task-missing', `allocation ${task.allocation} was not created`, false);
      }
      if (record.process !== null && isAlive(record.process)) return handleOf(record);
      // Started by an agent that ended before it could write so.
      const found = leaderWith(`TRADEFLEET_RUN_DIR=${record.runDir}`);
      if (found === null) await this.launch(record);
      else this.records.change(record, { process: found, exit: null });
      return handleOf(record);
    });
  }

  async recover(): Promise<Recovered> {
    const { records, unreadable } = this.records.all();
    return {
      handles: records.filter((record) => this.isOurs(record)).map(handleOf),
      unreadable: unreadable.map(({ file, why }) => ({ id: file, why })),
    };
  }

  async wait(handle: TaskHandle, signal: AbortSignal): Promise<TaskExit> {
    const ending = AbortSignal.any([signal, this.closing.signal]);
    for (;;) {
      ending.throwIfAborted();
      const record = this.settle(handle.id);
      if (record === null) return { exitCode: null, outOfMemory: false, unknown: true };
      if (record.exit !== null) {
        const { exitCode } = record.exit;
        return { exitCode, outOfMemory: false, unknown: exitCode === null };
      }
      await pause(this.clock, POLL_MS, ending);
    }
  }

  async stop(handle: TaskHandle, graceMs: number): Promise<void> {
    const task = this.runningProcess(handle.id);
    if (task === null) return;
    killIfThere(task.pid, 'SIGTERM');
    const giveUp_ms = this.clock.monotonicMs() + graceMs;
    while (isAlive(task) && this.clock.monotonicMs() < giveUp_ms) await this.clock.sleep(POLL_MS);
    await this.kill(handle);
  }

  async kill(task: TaskRef): Promise<void> {
    if (task.id.endsWith('.json')) {
      const text = `${task.id} cannot be read, so its process is not known; it ends with its lease`;
      throw new DriverError('engine-refused', text, false);
    }
    const leader = this.records.ofAllocation(task.id)?.process ?? null;
    if (leader === null) return;
    await killTree(leader, this.clock);
    // Dead, but the kernel has not told yet with which code.
    const told = (): boolean => this.settle(task.id)?.exit !== null;
    for (
      const giveUp_ms = this.clock.monotonicMs() + KILL_MS;
      !told() && this.clock.monotonicMs() < giveUp_ms;
    ) {
      await this.clock.sleep(POLL_MS / 10);
    }
  }

  async destroy(task: TaskRef): Promise<void> {
    this.meter.forget(task.id);
    const record = this.records.ofAllocation(task.id);
    if (record === null) {
      this.records.removeFile(task.id);
      return;
    }
    if (record.process !== null) await killTree(record.process, this.clock);
    this.records.release(record);
    this.logOf(record.allocation).remove();
  }

  async discard(task: TaskSpec): Promise<void> {
    await this.destroy({ id: task.allocation });
  }

  async sweep(live: LiveAllocations): Promise<number> {
    const { handles } = await this.recover();
    const present = new Set(handles.map((handle) => handle.allocation));
    const leftovers = readdirSync(this.logRoot()).filter(
      (allocation) => !live.has(allocation) && !present.has(allocation),
    );
    for (const allocation of leftovers) this.logOf(allocation).remove();
    return leftovers.length;
  }

  async inspect(handle: TaskHandle): Promise<TaskStatus> {
    const record = this.settle(handle.id);
    const startedAt = record?.process ? new Date(startedAtMs(record.process)).toISOString() : null;
    const ended = record?.exit ?? null;
    return {
      state: stateOf(record),
      exitCode: ended?.exitCode ?? null,
      outOfMemory: false,
      startedAt,
      finishedAt: ended?.at ?? null,
    };
  }

  async stats(handle: TaskHandle): Promise<TaskStats> {
    if (this.records.ofAllocation(handle.id) === null) throw missing(handle);
    const leader = this.runningProcess(handle.id);
    if (leader === null) return { cpuMillis: 0, memoryMiB: 0, pids: 0 };
    const members = membersOf(leader);
    const cpu_ms = members.reduce((sum, member) => sum + member.cpu_ms, 0);
    const memoryMiB = members.reduce((sum, member) => sum + residentMiB(member.pid), 0);
    const sample = { at_ms: this.clock.wallMs(), cpu_ms };
    return {
      cpuMillis: this.meter.millis(handle.id, sample, startedAtMs(leader)),
      memoryMiB: Math.round(memoryMiB),
      pids: members.length,
    };
  }

  async logs(handle: TaskHandle, lines: number): Promise<LogLine[]> {
    if (this.records.ofAllocation(handle.id) === null) throw missing(handle);
    return this.logOf(handle.id).last(lines);
  }

  events(onEvent: (event: TaskEvent) => void, signal: AbortSignal): void {
    const ending = AbortSignal.any([signal, this.closing.signal]);
    const list = (): TaskRecord[] =>
      this.records
        .all()
        .records.filter((record) => this.isOurs(record))
        .map((record) => this.settle(record.allocation) ?? record);
    const watch = new RecordWatch(list, onEvent, this.clock);
    watch.run(ending).catch((error: unknown) => this.log.warn({ err: error }, 'record watch ended'));
  }

  async close(): Promise<void> {
    clearInterval(this.trimmer);
    this.closing.abort(new DriverError('engine-unavailable', 'the driver was closed', true));
  }

  private async launch(record: TaskRecord): Promise<void> {
    const { pythonPath } = this.options;
    const ref = runtimeRef(record.runtime, record.version);
    const supervisorPath = this.supervisors.get(ref);
    if (supervisorPath === undefined) {
      throw new DriverError('image-missing', `this host has no supervisor for runtime ${ref}`, false);
    }
    const identity = await launch(
      { pythonPath, supervisorPath, runDir: record.runDir },
      this.logOf(record.allocation),
      (ended, exitCode) => this.ended(record, ended, exitCode),
    );
    this.children.set(record.allocation, identity);
    this.records.change(record, { process: identity, exit: null });
  }

  private ended(record: TaskRecord, leader: ProcessIdentity, exitCode: number): void {
    // After `close` the end is as unknown as after the end of the agent.
    if (this.closing.signal.aborted) return;
    // What it has left behind goes with it.
    killTree(leader, this.clock).catch((error: unknown) =>
      this.log.warn({ err: error }, 'remains of a task stay'),
    );
    // It may have been started again since.
    if (this.children.get(record.allocation)?.startTicks !== leader.startTicks) return;
    this.children.delete(record.allocation);
    this.records.change(record, { exit: { exitCode, at: new Date(this.clock.wallMs()).toISOString() } });
  }

  /** The record; writes down the end of a process that was not our child. Null when there is none. */
  private settle(allocation: string): TaskRecord | null {
    const record = this.records.ofAllocation(allocation);
    if (record === null || record.process === null || record.exit !== null) return record;
    if (isAlive(record.process) || this.children.has(allocation)) return record;
    killMembers(record.process, new Set());
    const exit = { exitCode: null, at: new Date(this.clock.wallMs()).toISOString() };
    return this.records.change(record, { exit });
  }

  private runningProcess(allocation: string): ProcessIdentity | null {
    const leader = this.records.ofAllocation(allocation)?.process ?? null;
    return leader !== null && isAlive(leader) ? leader : null;
  }

  private trimLogs(): void {
    for (const record of this.records.all().records) {
      if (this.isOurs(record)) this.logOf(record.allocation).trim();
    }
  }

  private isOurs(record: TaskRecord): boolean {
    return record.fleet === this.options.fleet && record.host === this.options.host;
  }

  private logRoot(): string {
    return join(this.options.stateDir, 'logs', this.options.host);
  }

  private logOf(allocation: string): TaskLog {
    return new TaskLog(join(this.logRoot(), allocation));
  }
}

function stateOf(record: TaskRecord | null): TaskStatus['state'] {
  if (record === null) return 'missing';
  if (record.process === null) return 'created';
  return record.exit === null ? 'running' : 'exited';
}

function handleOf({ allocation, account, bot, tenant, epoch, runtime }: TaskRecord): TaskHandle {
  return { id: allocation, allocation, account, bot, tenant, epoch, runtime };
}

function missing({ allocation }: TaskHandle): DriverError {
  return new DriverError('task-missing', `allocation ${allocation} is not on this host`, false);
}

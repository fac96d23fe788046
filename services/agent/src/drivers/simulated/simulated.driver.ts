import { SystemClock, type Clock } from '#libs/clock';
import { runtimeRef, type Capacity, type RuntimeRef } from '#libs/contracts';
import {
  DriverError,
  type Driver,
  type Fingerprint,
  type LogLine,
  type PrepareStep,
  type TaskEvent,
  type TaskExit,
  type TaskHandle,
  type TaskRef,
  type TaskSpec,
  type TaskStats,
  type TaskStatus,
} from '../driver.js';
import { Semaphore } from '../semaphore.js';
import { seededBehaviour, type Behaviour } from './behaviour.js';
import { SimulatedEngine, type SimulatedTask } from './simulated.engine.js';

export interface SimulatedDriverOptions {
  readonly host: string;
  /** Share one among drivers to let tasks outlive a driver, or to put several hosts on one engine. */
  readonly engine?: SimulatedEngine;
  /** Attempts count from 1. Default: `seededBehaviour({ seed: 0 })`, nothing fails. */
  readonly behaviour?: (task: TaskSpec, attempt: number) => Behaviour;
  readonly runtimes?: readonly RuntimeRef[];
  readonly capacity?: Capacity;
  /** How long it takes to fetch an image and to make a volume that are not on the host. Default: no time. */
  readonly preparation?: { readonly image_ms: number; readonly volume_ms: number };
  /** Default 4, as with Docker. */
  readonly startsParallelMax?: number;
}

const WAITING_MAX = 10_000;
const KILLED: TaskExit = { exitCode: 137, outOfMemory: false, unknown: false };
const STOPPED: TaskExit = { exitCode: 0, outOfMemory: false, unknown: false };

/** Runs nothing and takes its time doing so: for tests and measurements with thousands of bots in one process. */
export class SimulatedDriver implements Driver {
  readonly runUser = null;
  readonly usesRunDir = false;
  private readonly engine: SimulatedEngine;
  private readonly behaviour: (task: TaskSpec, attempt: number) => Behaviour;
  private readonly starts: Semaphore;
  private readonly closing = new AbortController();
  /** What was fetched or made, or is being: images by runtime and version, volumes by account. */
  private readonly there = new Map<string, Promise<void>>();

  constructor(
    private readonly options: SimulatedDriverOptions,
    private readonly clock: Clock = new SystemClock(),
  ) {
    this.engine = options.engine ?? new SimulatedEngine();
    this.behaviour = options.behaviour ?? seededBehaviour({ seed: 0 });
    const onFull = (): Error => new DriverError('engine-refused', 'too many bots wait to be started', true);
    this.starts = new Semaphore(options.startsParallelMax ?? 4, WAITING_MAX, onFull);
  }

  async fingerprint(): Promise<Fingerprint> {
    const { capacity, runtimes = ['paper', 'mt5'] } = this.options;
    const roomy: Capacity = { cpuMillis: 1_000_000, memoryMiB: 1_000_000, bots: 1000 };
    return { driver: 'simulated', version: 'simulated', runtimes, capacity: capacity ?? roomy };
  }

  async prepare(step: PrepareStep, task: TaskSpec): Promise<void> {
    this.checkOpen();
    const { image_ms, volume_ms } = this.options.preparation ?? { image_ms: 0, volume_ms: 0 };
    if (step === 'create') this.create(task);
    if (step === 'image') await this.once(`image ${runtimeRef(task.runtime, task.version)}`, image_ms);
    if (step === 'volume') await this.once(`volume ${task.account}`, volume_ms);
  }

  private async once(thing: string, takes_ms: number): Promise<void> {
    if (takes_ms === 0) return;
    const underWay = this.there.get(thing) ?? this.clock.sleep(takes_ms, this.closing.signal);
    this.there.set(thing, underWay);
    await underWay;
  }

  async start(task: TaskSpec): Promise<TaskHandle> {
    return this.starts.run(async () => {
      this.checkOpen();
      const held = this.held(task);
      if (held === null) {
        throw new DriverError('task-missing', `allocation ${task.allocation} was not created`, false);
      }
      if (held.state !== 'running') await this.run(held);
      return handleOf(held);
    });
  }

  async recover(): Promise<{ handles: TaskHandle[]; unreadable: [] }> {
    this.checkOpen();
    return { handles: this.engine.ofHost(this.options.host).map(handleOf), unreadable: [] };
  }

  async wait(handle: TaskHandle, signal: AbortSignal): Promise<TaskExit> {
    const ending = AbortSignal.any([signal, this.closing.signal]);
    for (;;) {
      ending.throwIfAborted();
      const task = this.engine.get(handle.id);
      if (task === null) return { exitCode: null, outOfMemory: false, unknown: true };
      if (task.state === 'exited' && task.exit !== null) return task.exit;
      await task.changed(ending);
    }
  }

  async stop(handle: TaskHandle, graceMs: number): Promise<void> {
    this.checkOpen();
    const task = this.engine.get(handle.id);
    if (task?.state !== 'running') return;
    const { obeysSigterm, stop_ms } = this.behaviour(task.spec, task.attempts);
    const obeys = obeysSigterm && stop_ms <= graceMs;
    await this.clock.sleep(obeys ? stop_ms : graceMs);
    task.end(obeys ? STOPPED : KILLED);
  }

  async kill(task: TaskRef): Promise<void> {
    this.checkOpen();
    this.engine.get(task.id)?.end(KILLED);
  }

  async destroy(task: TaskRef): Promise<void> {
    this.checkOpen();
    const found = this.engine.get(task.id);
    if (found !== null) this.engine.remove(found);
  }

  async discard(task: TaskSpec): Promise<void> {
    this.checkOpen();
    const held = this.held(task);
    if (held !== null) this.engine.remove(held);
  }

  async sweep(): Promise<number> {
    return 0;
  }

  async inspect(handle: TaskHandle): Promise<TaskStatus> {
    this.checkOpen();
    const task = this.engine.get(handle.id);
    return {
      state: task?.state ?? 'missing',
      exitCode: task?.exit?.exitCode ?? null,
      outOfMemory: task?.exit?.outOfMemory ?? false,
      startedAt: task?.startedAt ?? null,
      finishedAt: task?.finishedAt ?? null,
    };
  }

  /** A tenth of what the task may use. */
  async stats(handle: TaskHandle): Promise<TaskStats> {
    const task = this.existing(handle);
    if (task.state !== 'running') return { cpuMillis: 0, memoryMiB: 0, pids: 0 };
    const { cpuMillis, memoryMiB } = task.spec.resources;
    return { cpuMillis: Math.ceil(cpuMillis / 10), memoryMiB: Math.ceil(memoryMiB / 10), pids: 3 };
  }

  async logs(handle: TaskHandle, lines: number): Promise<LogLine[]> {
    return this.existing(handle).lines.slice(-lines);
  }

  events(onEvent: (event: TaskEvent) => void, signal: AbortSignal): void {
    const ending = AbortSignal.any([signal, this.closing.signal]);
    this.engine.listen(this.options.host, onEvent, ending);
  }

  async close(): Promise<void> {
    this.closing.abort(closedError());
  }

  /** The same rules as the docker driver's `NameMutex`. */
  private create(task: TaskSpec): void {
    if (this.engine.create(task, this.clock) !== null) return;
    const holder = this.engine.ofAccount(task.account);
    if (holder === null || holder.spec.allocation === task.allocation) return;
    const stale = holder.spec.epoch < task.epoch;
    if (!stale || holder.state === 'running') {
      const who = `account ${task.account} is held by allocation ${holder.spec.allocation}`;
      throw new DriverError('name-taken', who, stale);
    }
    this.engine.remove(holder);
    this.engine.create(task, this.clock);
  }

  private async run(task: SimulatedTask): Promise<void> {
    task.attempts += 1;
    const behaviour = this.behaviour(task.spec, task.attempts);
    await this.clock.sleep(behaviour.start_ms, this.closing.signal);
    if (behaviour.startFault !== null) {
      throw new DriverError(behaviour.startFault, 'the simulation failed this start', true);
    }
    if (task.removed) throw new DriverError('task-missing', 'it was removed while it started', false);
    task.run(behaviour);
  }

  private held(task: TaskSpec): SimulatedTask | null {
    const holder = this.engine.ofAccount(task.account);
    return holder?.spec.allocation === task.allocation ? holder : null;
  }

  private existing(handle: TaskHandle): SimulatedTask {
    this.checkOpen();
    const task = this.engine.get(handle.id);
    if (task !== null) return task;
    throw new DriverError('task-missing', `allocation ${handle.allocation} is not on this host`, false);
  }

  private checkOpen(): void {
    if (this.closing.signal.aborted) throw closedError();
  }
}

function closedError(): DriverError {
  return new DriverError('engine-unavailable', 'the driver was closed', true);
}

function handleOf({ id, spec }: SimulatedTask): TaskHandle {
  const { allocation, account, bot, tenant, epoch, runtime } = spec;
  return { id, allocation, account, bot, tenant, epoch, runtime };
}

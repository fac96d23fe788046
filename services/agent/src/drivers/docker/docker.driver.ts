import { SystemClock, type Clock } from '#libs/clock';
import { backoffMs } from '../backoff.js';
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
  type UnreadableTask,
} from '../driver.js';
import { pause } from '../pause.js';
import { Semaphore } from '../semaphore.js';
import { StartQueue } from '../start-queue.js';
import { RUN_USER } from './container-spec.js';
import { DockerEngine } from './docker.engine.js';
import {
  dockerSettings,
  WAITING_MAX,
  type DockerDriverOptions,
  type DockerSettings,
} from './docker.options.js';
import type { Container } from './engine-answers.js';
import { EventWatch } from './event-watch.js';
import { fingerprintOf, hasCgroupNamespaces } from './fingerprint.js';
import { Images } from './images.js';
import { label, readLabels } from './labels.js';
import { MemoryVerdicts } from './memory-verdicts.js';
import { NameMutex } from './name-mutex.js';
import { Networks } from './networks.js';
import { DockerStores } from './stores.js';
import { sampleOf } from './usage.js';

/** A wait is asked anew so often, so that a connection nobody answers on is noticed. */
const WAIT_ROUND_MS = 60_000;
/** From SIGKILL to dead; longer means that the kernel or the engine is stuck. */
const KILL_MS = 15_000;
/** Removals do not wait for starts nor the other way round; kills and stops wait for nobody. */
const REMOVALS_PARALLEL_MAX = 8;
/** A removal that takes longer keeps nobody else from being removed. */
const REMOVAL_OVERTIME_MS = 10_000;
const REMOVE_MS_MAX = 10_000;
const REMOVE_PAUSE_MS = 200;

/** Runs each allocation as a hardened container, see `containerSpec`. */
export class DockerDriver implements Driver {
  readonly runUser = RUN_USER;
  readonly usesRunDir = true;
  private readonly settings: DockerSettings;
  private readonly engine: DockerEngine;
  readonly stores: DockerStores;
  private readonly images: Images;
  private readonly networks: Networks;
  private readonly names: NameMutex;
  private readonly memory: MemoryVerdicts;
  private readonly meter = new CpuMeter();
  private readonly starts: StartQueue;
  private readonly removals: Semaphore;
  /** Containers made by this process and not started yet, by allocation. */
  private readonly made = new Map<string, string>();
  private readonly closing = new AbortController();
  private cgroupNamespace: boolean | null = null;

  constructor(
    options: DockerDriverOptions,
    private readonly log: DriverLog,
    private readonly clock: Clock = new SystemClock(),
  ) {
    const settings = dockerSettings(options);
    this.settings = settings;
    this.engine = new DockerEngine(settings.socketPath, settings.timeouts);
    this.images = new Images(this.engine, settings.images, settings.pull, clock);
    this.stores = new DockerStores(this.engine, settings.fleet, this.images, clock);
    this.networks = new Networks(this.engine, settings.fleet, settings.pool);
    this.names = new NameMutex(this.engine, log);
    this.memory = new MemoryVerdicts(this.engine, clock);
    const onFull = (): Error => new DriverError('engine-refused', 'too many bots wait for the engine', true);
    this.starts = new StartQueue(settings.startsParallel, clock, WAITING_MAX, onFull);
    const overtime = { clock, ms: REMOVAL_OVERTIME_MS };
    this.removals = new Semaphore(REMOVALS_PARALLEL_MAX, WAITING_MAX, onFull, overtime);
  }

  async fingerprint(): Promise<Fingerprint> {
    const [version, info] = await Promise.all([this.engine.version(), this.engine.info()]);
    this.cgroupNamespace = hasCgroupNamespaces(version.ApiVersion);
    return fingerprintOf(version, info, await this.images.available(), this.settings.botsMax, this.log);
  }

  async prepare(step: PrepareStep, task: TaskSpec): Promise<void> {
    switch (step) {
      case 'image':
        return this.images.ensure(task);
      case 'network':
        return this.starts.run('network', () => this.networks.ensure(task, this.isInternal(task)));
      case 'volume':
        return this.stores.ensureVolume(task);
      case 'create':
        return this.starts.run('create', () => this.create(task));
    }
  }

  async start(task: TaskSpec): Promise<TaskHandle> {
    return this.starts.run('start', async () => {
      const id = (await this.startMade(task)) ?? (await this.startHeld(task));
      const { allocation, account, bot, tenant, epoch, runtime } = task;
      return { id, allocation, account, bot, tenant, epoch, runtime };
    });
  }

  async recover(): Promise<Recovered> {
    // By fleet, too: another one may call its host the same.
    const containers = await this.engine.containers({ label: this.ownLabels() });
    const handles: TaskHandle[] = [];
    const unreadable: UnreadableTask[] = [];
    const alive = new Set<string>();
    for (const { Id: id, Labels, Names, State } of containers) {
      if (['running', 'paused', 'restarting'].includes(State)) alive.add(id);
      const read = readLabels(Labels ?? {});
      if ('why' in read) {
        unreadable.push({ id, why: `container ${Names?.[0]?.slice(1) ?? id}: ${read.why}` });
        continue;
      }
      const { allocation, account, bot, tenant, epoch, runtime } = read;
      handles.push({ id, allocation, account, bot, tenant, epoch, runtime });
    }
    return { handles, unreadable, alive };
  }

  async wait(handle: TaskHandle, signal: AbortSignal): Promise<TaskExit> {
    const ending = AbortSignal.any([signal, this.closing.signal]);
    let failures = 0;
    let condition: 'not-running' | 'next-exit' = 'not-running';
    for (;;) {
      try {
        // First of all it is waited for: who waits has started it mostly, and need not ask whether it runs.
        const outcome = await this.engine.awaitExit(handle.id, condition, WAIT_ROUND_MS, ending);
        const container = await this.engine.container(handle.id, ending);
        if (container === null) return { exitCode: null, outOfMemory: false, unknown: true };
        const { state, exitCode } = this.statusOf(container);
        if (state === 'exited') {
          return { exitCode, outOfMemory: await this.memory.find(container), unknown: false };
        }
        condition = state === 'created' ? 'next-exit' : 'not-running';
        failures = outcome === 'ended' ? failures + 1 : 0;
      } catch (error) {
        ending.throwIfAborted();
        this.log.warn({ err: error, allocation: handle.allocation, failures }, 'lost sight of a task');
        failures += 1;
      }
      // The first look after it has ended finds it so; only what is not as expected has to wait.
      if (failures > 1) await pause(this.clock, backoffMs(failures - 2), ending);
    }
  }

  async stop(handle: TaskHandle, graceMs: number): Promise<void> {
    this.memory.killing(handle.id);
    await this.engine.stop(handle.id, graceMs);
  }

  async kill(task: TaskRef): Promise<void> {
    this.memory.killing(task.id);
    await this.engine.kill(task.id);
    if ((await this.engine.awaitExit(task.id, 'not-running', KILL_MS)) === 'still-running') {
      throw new DriverError('engine-timeout', `container ${task.id} outlives SIGKILL by ${KILL_MS} ms`, true);
    }
  }

  async destroy(task: TaskRef): Promise<void> {
    await this.removals.run(async () => {
      const allocation = await this.allocationOf(task);
      await this.removeContainer(task.id);
      if (allocation !== null) await this.networks.remove(allocation);
    });
  }

  async discard(task: TaskSpec): Promise<void> {
    this.made.delete(task.allocation);
    await this.removals.run(async () => {
      const container = await this.names.held(task, this.settings.fleet);
      if (container !== null) await this.removeContainer(container.Id);
      await this.networks.remove(task.allocation);
    });
  }

  async sweep(live: LiveAllocations): Promise<number> {
    const leftovers = await this.networks.allocations(this.settings.host);
    const { handles } = await this.recover();
    const present = new Set(handles.map((handle) => handle.allocation));
    let removed = 0;
    for (const allocation of new Set(leftovers)) {
      if (!live.has(allocation) && !present.has(allocation))
        removed += await this.networks.remove(allocation);
    }
    return removed;
  }

  async inspect(handle: TaskHandle): Promise<TaskStatus> {
    const container = await this.engine.container(handle.id);
    return container === null ? missing : this.statusOf(container);
  }

  async stats(handle: TaskHandle): Promise<TaskStats> {
    const usage = await this.engine.usage(handle.id);
    const startedAt = (await this.engine.container(handle.id))?.State.StartedAt ?? null;
    const sample = sampleOf(usage);
    if (sample === null || startedAt === null) return { cpuMillis: 0, memoryMiB: 0, pids: 0 };
    const { memoryMiB, pids } = sample;
    return { cpuMillis: this.meter.millis(handle.id, sample, Date.parse(startedAt)), memoryMiB, pids };
  }

  async logs(handle: TaskHandle, lines: number): Promise<LogLine[]> {
    return this.engine.logs(handle.id, lines);
  }

  events(onEvent: (event: TaskEvent) => void, signal: AbortSignal): void {
    const ending = AbortSignal.any([signal, this.closing.signal]);
    const watch = new EventWatch(this.engine, this.ownLabels(), onEvent, this.log, this.clock);
    watch.run(ending).catch((error: unknown) => this.log.warn({ err: error }, 'event watch ended'));
  }

  async close(): Promise<void> {
    const reason = new DriverError('engine-unavailable', 'the driver was closed', true);
    this.closing.abort(reason);
    this.engine.close();
  }

  private statusOf(container: Container): TaskStatus {
    const { State } = container;
    const state = states[State.Status];
    const ended = state === 'exited';
    return {
      state,
      exitCode: ended ? State.ExitCode : null,
      outOfMemory: this.memory.known(container),
      startedAt: State.StartedAt,
      finishedAt: ended ? State.FinishedAt : null,
    };
  }

  private ownLabels(): string[] {
    return [`${label.fleet}=${this.settings.fleet}`, `${label.host}=${this.settings.host}`];
  }

  private isInternal(task: TaskSpec): boolean {
    return !this.settings.egress.has(task.runtime);
  }

  private async create(task: TaskSpec): Promise<void> {
    if (task.host !== this.settings.host) {
      throw new DriverError(
        'engine-refused',
        `allocation ${task.allocation} is for host ${task.host}`,
        false,
      );
    }
    this.cgroupNamespace ??= hasCgroupNamespaces((await this.engine.version()).ApiVersion);
    const made = await this.createNamed(task, this.cgroupNamespace);
    if (made === null) this.made.delete(task.allocation);
    else this.made.set(task.allocation, made);
  }

  private async createNamed(task: TaskSpec, cgroupNamespace: boolean): Promise<string | null> {
    const { fleet } = this.settings;
    const settings = { fleet, image: this.images.of(task), cgroupNamespace, internal: this.isInternal(task) };
    try {
      return await this.names.create(task, settings);
    } catch (error) {
      if (error instanceof DriverError && error.fault === 'image-missing') this.images.forget(task);
      throw error;
    }
  }

  /** Starts what this process has just made, whose name and state need not be looked at. Null when there is none. */
  private async startMade(task: TaskSpec): Promise<string | null> {
    const id = this.made.get(task.allocation);
    if (id === undefined) return null;
    // Once only: after whatever becomes of it, it is looked at.
    this.made.delete(task.allocation);
    await this.engine.start(id);
    return id;
  }

  private async startHeld(task: TaskSpec): Promise<string> {
    const container = await this.names.held(task, this.settings.fleet);
    if (container === null) {
      throw new DriverError('task-missing', `allocation ${task.allocation} has no container`, false);
    }
    // By id: should the name have passed to another allocation since, this fails instead of starting that one.
    if (!isAlive(container)) {
      this.memory.forget(container.Id);
      await this.engine.start(container.Id);
    }
    return container.Id;
  }

  private async allocationOf(task: TaskRef): Promise<string | null> {
    if ('allocation' in task && typeof task.allocation === 'string') return task.allocation;
    const container = await this.engine.container(task.id);
    return container?.Config.Labels?.[label.allocation] ?? null;
  }

  private async removeContainer(id: string): Promise<void> {
    this.meter.forget(id);
    this.memory.killing(id);
    const giveUp_ms = this.clock.monotonicMs() + REMOVE_MS_MAX;
    do {
      if ((await this.engine.removeContainer(id, true)) === 'gone') return;
      // A removal is under way, ours of before perhaps.
      await pause(this.clock, REMOVE_PAUSE_MS, this.closing.signal);
    } while (this.clock.monotonicMs() < giveUp_ms);
    throw new DriverError('engine-timeout', `container ${id} is not gone yet`, true);
  }
}

const missing: TaskStatus = {
  state: 'missing',
  exitCode: null,
  outOfMemory: false,
  startedAt: null,
  finishedAt: null,
};

const states = {
  created: 'created',
  running: 'running',
  restarting: 'running',
  paused: 'paused',
  removing: 'exited',
  exited: 'exited',
  dead: 'exited',
} as const satisfies Record<Container['State']['Status'], TaskStatus['state']>;

const isAlive = (container: Container): boolean =>
  ['running', 'paused'].includes(states[container.State.Status]);

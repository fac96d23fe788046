import type { Capacity, Resources, RuntimeName, RuntimeRef } from '#libs/contracts';

/** DI token of the host's driver. */
export const DRIVER = Symbol('Driver');

/** What a host can run and hold, as measured by its driver. */
export interface Fingerprint {
  readonly driver: 'docker' | 'process' | 'simulated';
  /** For people: engine and version. */
  readonly version: string;
  readonly runtimes: readonly RuntimeRef[];
  /** What the machine has, before the agent's own reservation. */
  readonly capacity: Capacity;
}

/** All a driver needs to run one allocation. Holds no secret: those are files in `runDir`. */
export interface TaskSpec {
  readonly allocation: string;
  readonly tenant: string;
  readonly bot: string;
  readonly account: string;
  readonly epoch: number;
  readonly host: string;
  readonly runtime: RuntimeName;
  /** Which of the runtime's images; null for the default one. */
  readonly version: string | null;
  readonly resources: Resources;
  /** Directory on tmpfs with the files of the runtime contract; `runDir/out` is the bot's. */
  readonly runDir: string;
  /** SIGTERM to SIGKILL on the driver's own way down (daemon shutdown). */
  readonly stopGraceMs: number;
}

/** Enough to end and remove a task, also one whose labels cannot be read. */
export interface TaskRef {
  /** The driver's own name for it (container id, pid and start time, ...). Never used again for another task. */
  readonly id: string;
}

/** A container (or its like) that carries our labels. */
export interface TaskHandle extends TaskRef {
  readonly allocation: string;
  readonly account: string;
  readonly bot: string;
  readonly tenant: string;
  readonly epoch: number;
  readonly runtime: RuntimeName;
}

/** Ours by its labels of fleet and host, but what it runs for cannot be told: kill and destroy it. */
export interface UnreadableTask extends TaskRef {
  /** What is wrong with it, for people. */
  readonly why: string;
}

/** Called like a bot, and not this fleet's: to be told of, never touched. */
export interface ForeignTask extends TaskRef {
  readonly name: string;
  readonly why: string;
}

/** A volume of this fleet, kept from one allocation of its account to the next. */
export interface KeptVolume {
  readonly name: string;
  readonly account: string;
  /** A container has it, also one that has ended or is another host's; or it was prepared within the last hour. */
  readonly inUse: boolean;
}

/** What outlives allocations on a host; housekeeping alone removes it. */
export interface DriverStores {
  survey(): Promise<{ volumes: KeptVolume[]; foreign: ForeignTask[] }>;
  /** False when somebody has come to need it. Asks nobody before the call is under way: decide, then call at once. */
  removeVolume(volume: KeptVolume): Promise<boolean>;
  /** Images that this driver has fetched since it was made. */
  fetched(): readonly string[];
  /** False when a container needs it. */
  removeImage(reference: string): Promise<boolean>;
}

export interface TaskStatus {
  readonly state: 'created' | 'running' | 'paused' | 'exited' | 'missing';
  readonly exitCode: number | null;
  readonly outOfMemory: boolean;
  /** Wall clock, ISO; null before it has happened. */
  readonly startedAt: string | null;
  readonly finishedAt: string | null;
}

/** How a task ended. */
export interface TaskExit {
  readonly exitCode: number | null;
  readonly outOfMemory: boolean;
  /** The driver lost sight of it: it is gone and how is not known. */
  readonly unknown: boolean;
}

export interface TaskStats {
  /** Thousandths of a core: since the last call for this task, or since its start at the first. */
  readonly cpuMillis: number;
  readonly memoryMiB: number;
  readonly pids: number;
}

export interface LogLine {
  readonly at: string;
  readonly stream: 'stdout' | 'stderr';
  readonly text: string;
}

/** Something happened to a labelled task outside the agent's doing. */
export interface TaskEvent {
  readonly kind: 'started' | 'exited' | 'out-of-memory' | 'destroyed';
  readonly allocation: string;
  /** The driver's own name for the task, where it is told. */
  readonly id?: string;
}

/** All that `recover` has found. */
export interface Recovered {
  readonly handles: TaskHandle[];
  readonly unreadable: UnreadableTask[];
  /** Ids of those that run or are paused, where the driver knows without looking at each. */
  readonly alive?: ReadonlySet<string>;
}

/** Asked anew for each thing that may go, when it is about to. */
export interface LiveAllocations {
  has(allocation: string): boolean;
}

/** The steps `prepare` takes one by one, so that each is a hook of its own and can be repeated. */
export type PrepareStep = 'image' | 'network' | 'volume' | 'create';

/**
 * How an agent runs a bot. Every method is idempotent, has its own bounded time, and throws `DriverError` with a
 * reason; none throws for a thing that is already as wanted. Nothing secret goes in or out.
 *
 *   prepare(image) -> prepare(network) -> prepare(volume) -> prepare(create) -> start -> wait -> destroy
 *         \________________\__________________\__________________\             \-> stop | kill -^
 *                                                              \-> discard
 */
export interface Driver {
  /** Measures the host anew. Throws when the host cannot enforce what the runtime contract promises. */
  fingerprint(): Promise<Fingerprint>;
  /**
   * Owner of files the bot must be able to read in its run directory, or null when it runs as the agent's own user.
   */
  readonly runUser: { readonly uid: number; readonly gid: number } | null;
  /**
   * Whether a real bot reads and writes the run directory. When false, no file need be written, no `status.json` will
   * appear, and a started task counts as having passed every readiness stage.
   */
  readonly usesRunDir: boolean;
  /**
   * `create` takes the name `bot-<account>`, one holder per account on the engine: adopts what this allocation made
   * before, removes the dead remains of a lower epoch, and else throws `name-taken`.
   */
  prepare(step: PrepareStep, task: TaskSpec): Promise<void>;
  /**
   * Starts what `create` made; a bounded number at a time on one host. A running task is left alone, one
   * that has ended is started again. Throws `task-missing` when there is nothing to start.
   */
  start(task: TaskSpec): Promise<TaskHandle>;
  /** Every task with our labels on this host, whatever its state. What cannot be read is reported, not skipped. */
  recover(): Promise<Recovered>;
  /** Resolves when the task has ended; survives reconnects of the engine. Rejects only on abort. */
  wait(handle: TaskHandle, signal: AbortSignal): Promise<TaskExit>;
  /** SIGTERM, then SIGKILL after the grace; resolves when it is dead. */
  stop(handle: TaskHandle, graceMs: number): Promise<void>;
  /** SIGKILL now; resolves when it is dead. */
  kill(task: TaskRef): Promise<void>;
  /** Removes container and network, killing what still runs; keeps the named volume. */
  destroy(task: TaskRef): Promise<void>;
  /**
   * Removes whatever `prepare` and `start` have made for this allocation, also when they failed half-way and there is
   * no handle. Never touches what another allocation of the account has made; keeps the named volume.
   */
  discard(task: TaskSpec): Promise<void>;
  /**
   * Removes what is left on this host of allocations that are not in `live` and have no task any more (networks,
   * records of ended processes). Returns how many things went.
   */
  sweep(live: LiveAllocations): Promise<number>;
  /** Null, or none: with a driver that keeps nothing. */
  readonly stores?: DriverStores | null;
  inspect(handle: TaskHandle): Promise<TaskStatus>;
  /** Zero for a task that does not run. Throws `task-missing`. */
  stats(handle: TaskHandle): Promise<TaskStats>;
  /** The last lines, oldest first; at most `lines`, each cut at 8 KiB. Throws `task-missing`. */
  logs(handle: TaskHandle, lines: number): Promise<LogLine[]>;
  /**
   * Calls back for each event until the signal aborts; reconnects by itself and then re-lists. An event may come twice
   * and tells only that it is worth looking. What was there before the call is not reported: call this, then `recover`.
   */
  events(onEvent: (event: TaskEvent) => void, signal: AbortSignal): void;
  /** Ends every call under way. Tasks go on running. */
  close(): Promise<void>;
}

/** Where drivers tell what no caller waits for. A pino logger is one. */
export interface DriverLog {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
}

export type DriverFault =
  | 'image-missing'
  | 'task-missing' // nothing was created, or it was removed
  | 'name-taken' // another allocation of the account holds the name on this host
  | 'engine-unavailable'
  | 'engine-timeout'
  | 'engine-refused'
  | 'no-capacity'; // addresses or disk have run out

/** `retry` says whether the same call may succeed later. */
export class DriverError extends Error {
  override readonly name = 'DriverError';

  constructor(
    readonly fault: DriverFault,
    message: string,
    readonly retry: boolean,
    options?: { cause?: unknown },
  ) {
    super(message, options);
  }
}

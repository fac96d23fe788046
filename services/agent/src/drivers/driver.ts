import type { Capacity, Resources, RuntimeName } from '#libs/contracts';

/** DI token of the host's driver. */
export const DRIVER = Symbol('Driver');

/** What a host can run and hold, as measured by its driver. */
export interface Fingerprint {
  readonly driver: 'docker' | 'process' | 'simulated';
  /** For people: engine and version. */
  readonly version: string;
  readonly runtimes: readonly RuntimeName[];
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
  readonly resources: Resources;
  /** Directory on tmpfs with the files of the runtime contract; `runDir/out` is the bot's. */
  readonly runDir: string;
  /** SIGTERM to SIGKILL on the driver's own way down (daemon shutdown). */
  readonly stopGraceMs: number;
}

/** A container (or its like) that carries our labels. */
export interface TaskHandle {
  /** The driver's own name for it: container id, pid and start time, ... */
  readonly id: string;
  readonly allocation: string;
  readonly account: string;
  readonly bot: string;
  readonly tenant: string;
  readonly epoch: number;
  readonly runtime: RuntimeName;
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
}

/** The steps `prepare` takes one by one, so that each is a hook of its own and can be repeated. */
export type PrepareStep = 'image' | 'network' | 'volume' | 'create';

/**
 * How an agent runs a bot. Every method is idempotent, has its own bounded time, and throws `DriverError` with a
 * reason; none throws for a thing that is already as wanted. Nothing secret goes in or out.
 *
 *   prepare(image) -> prepare(network) -> prepare(volume) -> prepare(create) -> start -> wait -> destroy
 *                                                                          \-> stop -^
 */
export interface Driver {
  fingerprint(): Promise<Fingerprint>;
  /**
   * Owner of files the bot must be able to read in its run directory, or null when it runs as the agent's own user.
   */
  readonly runUser: { readonly uid: number; readonly gid: number } | null;
  prepare(step: PrepareStep, task: TaskSpec): Promise<void>;
  /** Starts what `create` made; at most `starts_parallel_max` at a time on one host. */
  start(task: TaskSpec): Promise<TaskHandle>;
  /** Every task with our labels on this host, whatever its state. What cannot be read is reported, not skipped. */
  recover(): Promise<{ handles: TaskHandle[]; unreadable: string[] }>;
  /** Resolves when the task has ended; survives reconnects of the engine. Rejects only on abort. */
  wait(handle: TaskHandle, signal: AbortSignal): Promise<TaskExit>;
  /** SIGTERM, then SIGKILL after the grace; resolves when it is dead. */
  stop(handle: TaskHandle, graceMs: number): Promise<void>;
  /** SIGKILL now; resolves when it is dead. */
  kill(handle: TaskHandle): Promise<void>;
  /** Removes container and network; keeps the named volume. */
  destroy(handle: TaskHandle): Promise<void>;
  inspect(handle: TaskHandle): Promise<TaskStatus>;
  stats(handle: TaskHandle): Promise<TaskStats>;
  /** The last lines, oldest first; at most `lines`, each cut at 8 KiB. */
  logs(handle: TaskHandle, lines: number): Promise<LogLine[]>;
  /** Calls back for each event until the signal aborts; reconnects by itself and then re-lists. */
  events(onEvent: (event: TaskEvent) => void, signal: AbortSignal): void;
  close(): Promise<void>;
}

export type DriverFault =
  | 'image-missing'
  | 'name-taken' // another allocation of the account holds the name on this host
  | 'engine-unavailable'
  | 'engine-timeout'
  | 'engine-refused'
  | 'no-capacity';

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

import { renameSync, statSync } from 'node:fs';
import type { Clock } from '#libs/clock';
import { ServerProcess } from '#libs/testing';

export interface ManagedProcessOptions {
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly env: NodeJS.ProcessEnv;
  readonly logFile: string;
  /** From SIGTERM to SIGKILL. */
  readonly stopGraceMs: number;
  /** Told in one sentence about every end nobody asked for. */
  readonly onUnexpectedEnd: (sentence: string) => void;
}

const log_bytes_max = 32 * 1024 * 1024;
/** Restarts come after 0.2 s, doubling up to 10 s; a run of half a minute starts the count anew. */
const restart_delay_ms_min = 200;
const restart_delay_ms_max = 10_000;
const settled_after_ms = 30_000;
/** `exitCodes.superseded`: another one has its place, and starting it again would begin the quarrel anew. */
const superseded = 'code 76';

/** A service of the local fleet: started, started again when it dies, stopped when asked. */
export class ManagedProcess {
  private current: ServerProcess | null = null;
  private readonly stopping = new AbortController();
  private watching: Promise<void> = Promise.resolve();
  private unexpectedEnds = 0;

  constructor(
    private readonly options: ManagedProcessOptions,
    private readonly clock: Clock,
  ) {}

  get name(): string {
    return this.options.name;
  }

  /** How often it ended unasked. */
  get ends(): number {
    return this.unexpectedEnds;
  }

  async start(): Promise<void> {
    const first = await this.launch();
    this.watching = this.watch(first);
  }

  /** SIGTERM, SIGKILL after the grace; resolves when it is gone and will not come back. */
  async stop(): Promise<void> {
    this.stopping.abort();
    await this.current?.stop('SIGTERM', this.options.stopGraceMs);
    await this.watching;
  }

  logTail(): string {
    return this.current?.logTail() ?? '';
  }

  private async launch(): Promise<ServerProcess> {
    const { command, args, env, logFile } = this.options;
    setAsideLargeLog(logFile);
    this.current = await ServerProcess.start({
      ...{ command, args, env, logFile },
      ownerPid: process.pid,
      ownerGoneSignal: 'SIGINT',
    });
    return this.current;
  }

  private async watch(first: ServerProcess): Promise<void> {
    let server = first;
    let delay_ms = restart_delay_ms_min;
    for (;;) {
      const started_ms = this.clock.monotonicMs();
      const how = await server.exited;
      if (this.stopping.signal.aborted) return;
      if (this.clock.monotonicMs() - started_ms > settled_after_ms) delay_ms = restart_delay_ms_min;
      this.unexpectedEnds += 1;
      if (how === superseded) {
        this.options.onUnexpectedEnd(
          `${this.name} has ended for good: another one has its place. Its log: ${this.options.logFile}`,
        );
        return;
      }
      this.options.onUnexpectedEnd(
        `${this.name} ended (${how}); starting it again in ${delay_ms / 1000} s. Its log: ${this.options.logFile}`,
      );
      try {
        await this.clock.sleep(delay_ms, this.stopping.signal);
      } catch {
        return; // asked to stop meanwhile
      }
      delay_ms = Math.min(delay_ms * 2, restart_delay_ms_max);
      server = await this.launch();
    }
  }
}

/** Keeps one old log, so that a folder of logs cannot grow without end. */
function setAsideLargeLog(path: string): void {
  try {
    if (statSync(path).size > log_bytes_max) renameSync(path, `${path}.1`);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
}

import type { Clock } from '#libs/clock';
import { ServerProcess } from '#libs/testing';
import { signal, treeOf } from './processes.js';

export interface PartOptions {
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly env: NodeJS.ProcessEnv;
  readonly logFile: string;
  readonly stopGraceMs: number;
  /** After every end and before it starts again, such as to read what the process has left behind. */
  readonly onEnd?: () => void;
}

const restart_ms = 500;
/** A part that ends at once, again and again, is broken and not hit. */
const quick_ms = 2000;
const quick_ends_max = 40;

/**
 * A process that can be hit:
 *
 *   running ── freeze ──▶ frozen ── thaw ──▶ running
 *      │ └──── kill ────▶ held down ── release ──▶ running
 *      └─ ends by itself: started again after half a second, as a service manager does
 */
export class Part {
  private server: ServerProcess | null = null;
  private readonly stopping = new AbortController();
  private held: { wait: Promise<void>; release: () => void } | null = null;
  private watching: Promise<void> = Promise.resolve();
  private frozen = false;
  private failure: Error | null = null;
  /** How often it has ended without being killed here. */
  endsBySelf = 0;

  constructor(
    private readonly options: PartOptions,
    private readonly clock: Clock,
  ) {}

  get name(): string {
    return this.options.name;
  }

  get logFile(): string {
    return this.options.logFile;
  }

  /** Null while there is no process. */
  get pid(): number | null {
    return this.server?.end === null ? this.server.pid : null;
  }

  /** Why it is not started any more; null while all is well. */
  get broken(): Error | null {
    return this.failure;
  }

  async start(): Promise<void> {
    this.server = await this.launch();
    this.watching = this.watch(this.server);
  }

  /** SIGKILL; it stays down until `release`. */
  async kill(): Promise<void> {
    let release: () => void = () => undefined;
    const wait = new Promise<void>((resolve) => (release = resolve));
    this.held ??= { wait, release };
    await this.server?.kill();
    this.frozen = false;
  }

  release(): void {
    this.held?.release();
    this.held = null;
  }

  /** SIGSTOP of the process; with `tree` of all below it, too, which cannot start more then. */
  freeze({ tree = false } = {}): void {
    const { pid } = this;
    if (pid === null) return;
    this.frozen = true;
    signal(pid, 'SIGSTOP');
    if (tree) for (const below of treeOf(pid).slice(1)) signal(below, 'SIGSTOP');
  }

  thaw({ tree = false } = {}): void {
    this.frozen = false;
    const { pid } = this;
    if (pid === null) return;
    if (tree) for (const below of treeOf(pid).slice(1)) signal(below, 'SIGCONT');
    signal(pid, 'SIGCONT');
  }

  /** Ends it for good: SIGTERM, SIGKILL after its grace. */
  async stop(): Promise<void> {
    this.stopping.abort();
    this.release();
    if (this.frozen) this.thaw({ tree: true });
    await this.server?.stop('SIGTERM', this.options.stopGraceMs);
    await this.watching;
  }

  logTail(): string {
    return this.server?.logTail() ?? '';
  }

  private async launch(): Promise<ServerProcess> {
    const { command, args, env, logFile } = this.options;
    return await ServerProcess.start({
      ...{ command, args, env, logFile },
      ownerPid: process.pid,
      ownerGoneSignal: 'SIGKILL',
    });
  }

  private isStopping(): boolean {
    return this.stopping.signal.aborted;
  }

  private async watch(first: ServerProcess): Promise<void> {
    let server = first;
    let quickEnds = 0;
    for (;;) {
      const started_ms = this.clock.monotonicMs();
      await server.exited;
      this.options.onEnd?.();
      if (this.isStopping()) return;
      if (this.held === null) this.endsBySelf += 1;
      quickEnds = this.clock.monotonicMs() - started_ms < quick_ms ? quickEnds + 1 : 0;
      if (quickEnds > quick_ends_max) {
        this.failure = new Error(`${this.name} does not stay up; its log: ${this.logFile}`);
        return;
      }
      await this.held?.wait;
      try {
        await this.clock.sleep(restart_ms, this.stopping.signal);
        server = await this.launch();
      } catch (error) {
        if (!this.isStopping()) this.failure = error as Error;
        return;
      }
      this.server = server;
      if (this.isStopping()) await server.kill();
    }
  }
}

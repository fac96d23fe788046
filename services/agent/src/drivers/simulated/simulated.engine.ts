import type { Clock } from '#libs/clock';
import type { LogLine, TaskEvent, TaskExit, TaskSpec } from '../driver.js';
import type { Behaviour } from './behaviour.js';

const LINES_MAX = 100;

/** One task in memory: created, then started and ended, perhaps several times. */
export class SimulatedTask {
  state: 'created' | 'running' | 'exited' = 'created';
  attempts = 0;
  startedAt: string | null = null;
  finishedAt: string | null = null;
  exit: TaskExit | null = null;
  removed = false;
  readonly lines: LogLine[] = [];
  private running: AbortController | null = null;
  private readonly waiters = new Set<() => void>();

  constructor(
    readonly id: string,
    readonly spec: TaskSpec,
    private readonly clock: Clock,
    private readonly report: (event: TaskEvent) => void,
  ) {}

  /** Runs until `end`, or until its behaviour ends it. */
  run(behaviour: Behaviour): void {
    this.state = 'running';
    this.exit = null;
    this.finishedAt = null;
    this.startedAt = this.now();
    const running = new AbortController();
    this.running = running;
    this.say('bot started');
    this.report({ kind: 'started', allocation: this.spec.allocation });
    const { exit } = behaviour;
    if (exit === null) return;
    const ended: TaskExit = { exitCode: exit.exitCode, outOfMemory: exit.outOfMemory, unknown: false };
    this.clock.sleep(exit.after_ms, running.signal).then(
      () => this.end(ended),
      // Ended before its time by somebody else: `end` has seen to all.
      () => undefined,
    );
  }

  end(exit: TaskExit): void {
    if (this.state !== 'running') return;
    this.state = 'exited';
    this.exit = exit;
    this.finishedAt = this.now();
    this.running?.abort();
    this.say('bot ended');
    const { allocation } = this.spec;
    if (exit.outOfMemory) this.report({ kind: 'out-of-memory', allocation });
    this.report({ kind: 'exited', allocation });
    this.wake();
  }

  remove(): void {
    this.end({ exitCode: 137, outOfMemory: false, unknown: false });
    this.removed = true;
    this.report({ kind: 'destroyed', allocation: this.spec.allocation });
    this.wake();
  }

  /** Resolves when something has changed. */
  async changed(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    await new Promise<void>((resolve) => {
      const done = (): void => {
        this.waiters.delete(done);
        signal.removeEventListener('abort', done);
        resolve();
      };
      this.waiters.add(done);
      signal.addEventListener('abort', done);
    });
    signal.throwIfAborted();
  }

  private wake(): void {
    for (const waiter of [...this.waiters]) waiter();
  }

  private say(text: string): void {
    this.lines.push({ at: this.now(), stream: 'stdout', text });
    if (this.lines.length > LINES_MAX) this.lines.shift();
  }

  private now(): string {
    return new Date(this.clock.wallMs()).toISOString();
  }
}

/**
 * What stands for a Docker Engine: holds tasks by their account, so that they outlive the driver (an agent's restart)
 * and several hosts may share it. Thousands fit in one process; idle ones cost no time.
 */
export class SimulatedEngine {
  private readonly byAccount = new Map<string, SimulatedTask>();
  private readonly byId = new Map<string, SimulatedTask>();
  private readonly listeners = new Set<(event: TaskEvent, host: string) => void>();
  private made = 0;

  /** Null when the account's name is taken. */
  create(spec: TaskSpec, clock: Clock): SimulatedTask | null {
    if (this.byAccount.has(spec.account)) return null;
    this.made += 1;
    const report = (event: TaskEvent): void => {
      for (const listener of [...this.listeners]) listener(event, spec.host);
    };
    const task = new SimulatedTask(`simulated-${this.made}`, spec, clock, report);
    this.byAccount.set(spec.account, task);
    this.byId.set(task.id, task);
    return task;
  }

  ofAccount(account: string): SimulatedTask | null {
    return this.byAccount.get(account) ?? null;
  }

  get(id: string): SimulatedTask | null {
    return this.byId.get(id) ?? null;
  }

  ofHost(host: string): SimulatedTask[] {
    return [...this.byId.values()].filter((task) => task.spec.host === host);
  }

  remove(task: SimulatedTask): void {
    if (this.byAccount.get(task.spec.account) === task) this.byAccount.delete(task.spec.account);
    if (this.byId.delete(task.id)) task.remove();
  }

  listen(host: string, listener: (event: TaskEvent) => void, signal: AbortSignal): void {
    const heard = (event: TaskEvent, from: string): void => {
      if (from === host) listener(event);
    };
    this.listeners.add(heard);
    signal.addEventListener('abort', () => this.listeners.delete(heard), { once: true });
    if (signal.aborted) this.listeners.delete(heard);
  }
}

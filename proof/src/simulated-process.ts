import { AsyncLocalStorage } from 'node:async_hooks';
import type { Clock } from '#libs/clock';
import type { TrueTime } from './true-time.js';

const running = new AsyncLocalStorage<SimulatedProcess>();

/** Whose code runs now; undefined for the test's own. */
export const processNow = (): SimulatedProcess | undefined => running.getStore();

/**
 * A machine with its clocks, which run at their own rate. Suspended, CLOCK_MONOTONIC stands still and CLOCK_BOOTTIME and
 * the wall clock go on.
 */
export class Machine {
  private suspendedSince_ms: number | null = null;
  private suspended_ms = 0;
  private databaseCut = false;
  private readonly heldAnswers: (() => void)[] = [];
  readonly processes = new Set<SimulatedProcess>();

  constructor(
    readonly time: TrueTime,
    readonly name: string,
    /** Milliseconds of its clocks in a true one. */
    readonly rate: number,
    private readonly bootOffset_ms: number,
  ) {}

  get isSuspended(): boolean {
    return this.suspendedSince_ms !== null;
  }

  get isDatabaseCut(): boolean {
    return this.databaseCut;
  }

  monotonicMs(): number {
    const now = this.time.now_ms;
    const standing = this.suspendedSince_ms === null ? 0 : now - this.suspendedSince_ms;
    return (now - this.suspended_ms - standing) * this.rate;
  }

  boottimeMs(): number {
    return this.bootOffset_ms + this.time.now_ms * this.rate;
  }

  wallMs(): number {
    return Date.UTC(2026, 0, 1) + this.time.now_ms * this.rate;
  }

  /** When its CLOCK_BOOTTIME will have that value, or had. */
  trueTimeOf(boottime_ms: number): number {
    return (boottime_ms - this.bootOffset_ms) / this.rate;
  }

  /** Answers of the database are held back: what was asked for has been done, and nobody here knows. */
  cutDatabase(): void {
    this.databaseCut = true;
    for (const process of this.processes) process.leaveOutside();
  }

  mendDatabase(): void {
    this.databaseCut = false;
    for (const answer of this.heldAnswers.splice(0)) answer();
  }

  whenDatabaseAnswers(answer: () => void): void {
    if (this.databaseCut) this.heldAnswers.push(answer);
    else answer();
  }

  suspend(): void {
    this.suspendedSince_ms ??= this.time.now_ms;
    for (const process of this.processes) process.leaveOutside();
  }

  resume(): void {
    if (this.suspendedSince_ms === null) return;
    this.suspended_ms += this.time.now_ms - this.suspendedSince_ms;
    this.suspendedSince_ms = null;
    for (const process of this.processes) process.goOn();
  }
}

/**
 * One process: a clock, and a gate that everything from outside has to pass. Stopped (SIGSTOP, or its machine is
 * suspended) it hears nothing until it goes on; killed, never again, and what it awaited stays awaited.
 */
export class SimulatedProcess implements Clock {
  private stopped = false;
  private dead = false;
  private readonly waiting: (() => void)[] = [];
  private readonly atDeath: (() => void)[] = [];
  private readonly outside = new Set<() => void>();

  constructor(
    readonly machine: Machine,
    readonly name: string,
  ) {
    machine.processes.add(this);
  }

  get isDead(): boolean {
    return this.dead;
  }

  get isRunning(): boolean {
    return !this.dead && !this.stopped && !this.machine.isSuspended;
  }

  wallMs(): number {
    return this.machine.wallMs();
  }

  monotonicMs(): number {
    return this.machine.monotonicMs();
  }

  boottimeMs(): number {
    return this.machine.boottimeMs();
  }

  async sleep(ms: number, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    await new Promise<void>((resolve, reject) => {
      const { time, rate } = this.machine;
      const due_ms = this.monotonicMs() + Math.max(0, ms);
      let forget = (): void => undefined;
      const abort = (): void => {
        forget();
        const error = new Error('The sleep was aborted', { cause: signal?.reason });
        error.name = 'AbortError';
        reject(error);
      };
      const wake = (): void => {
        const left_ms = due_ms - this.monotonicMs();
        if (left_ms > 0.001) {
          forget = time.at(time.now_ms + left_ms / rate, enter);
          return;
        }
        signal?.removeEventListener('abort', abort);
        resolve();
      };
      const enter = (): void => this.whenRunning(wake);
      forget = time.at(time.now_ms + Math.max(0, ms) / rate, enter);
      signal?.addEventListener('abort', abort, { once: true });
    });
  }

  /** Runs `work` as this process. */
  as<T>(work: () => T): T {
    return running.run(this, work);
  }

  /** Runs `work` as this process, at once or when it goes on; never once it is dead. */
  whenRunning(work: () => void): void {
    if (this.isRunning) this.as(work);
    else if (!this.dead) this.waiting.push(work);
  }

  /** Resolves when this process may take in an answer of the database. */
  async databaseGate(): Promise<void> {
    await new Promise<void>((resolve) => this.whenDatabaseAnswers(resolve));
  }

  /** Takes in an answer of the database, when it comes through. */
  whenDatabaseAnswers(take: () => void): void {
    this.machine.whenDatabaseAnswers(() => this.whenRunning(take));
  }

  /** Something of this process is under way outside: time stands still until it is called back, or for no longer. */
  beginOutside(): () => void {
    // What cannot be taken in is not waited for.
    if (!this.isRunning || this.machine.isDatabaseCut) return () => undefined;
    const end = this.machine.time.beginOutside();
    this.outside.add(end);
    return () => {
      this.outside.delete(end);
      end();
    };
  }

  async outsideOf<T>(work: PromiseLike<T>): Promise<T> {
    const end = this.beginOutside();
    try {
      return await work;
    } finally {
      end();
    }
  }

  /** What it waits for may never come, or not be taken in: time goes on without it. */
  leaveOutside(): void {
    for (const end of this.outside) end();
    this.outside.clear();
  }

  stop(): void {
    this.stopped = true;
    this.leaveOutside();
  }

  continue(): void {
    this.stopped = false;
    this.goOn();
  }

  /** After its machine goes on. */
  goOn(): void {
    while (this.isRunning) {
      const work = this.waiting.shift();
      if (work === undefined) return;
      this.as(work);
    }
  }

  onDeath(work: () => void): void {
    if (this.dead) work();
    else this.atDeath.push(work);
  }

  kill(): void {
    if (this.dead) return;
    this.dead = true;
    this.machine.processes.delete(this);
    this.leaveOutside();
    this.waiting.length = 0;
    for (const work of this.atDeath.splice(0)) work();
  }
}

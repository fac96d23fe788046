import { chmodSync, closeSync, openSync } from 'node:fs';
import { DatabaseSync, type SQLInputValue, type StatementSync } from 'node:sqlite';
import type { Clock } from '#libs/clock';
import type { Logger } from '#libs/telemetry';
import { StartupFault, StateUnavailable } from '../errors.js';
import { schemaSteps } from './agent.schema.js';
import type { Row } from './row.js';
import { damagedState, stateFileFault } from './state-file.fault.js';

interface Work {
  readonly run: () => void;
  readonly settle: (fault?: unknown) => void;
}

/** Works that share one commit at most; more wait for the next one. */
const works_per_commit_max = 256;
/** SQLite waits this long for a lock, with the whole process standing still. */
const lock_ms_max = 50;
/** Longer than an agent that lets go of its bots takes to end. */
const held_ms_max = 15_000;
const held_pause_ms = 500;

export interface StateWait {
  readonly clock: Clock;
  readonly logger: Logger;
  /** Ends the wait. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * The agent's durable memory: one SQLite file, one process.
 *
 * A commit is flushed to the disk before it is reported (WAL, synchronous=FULL), so what is acknowledged after it
 * survives a power failure. A flush takes milliseconds and many lanes write at the same time, so works that are
 * waiting together share one transaction; each has its own savepoint and fails alone.
 */
export class AgentDatabase {
  readonly #db: DatabaseSync;
  readonly #statements = new Map<string, StatementSync>();
  #waiting: Work[] = [];
  #scheduled = false;
  #inWork = false;

  /**
   * Opens the file, waiting a while for another process to let go of it: an agent that is being replaced may still end.
   * @throws StateUnavailable, StartupFault as the constructor does; AbortError when the signal ends the wait
   */
  static async open(path: string, { clock, logger, signal }: StateWait): Promise<AgentDatabase> {
    const enough_ms = clock.monotonicMs() + held_ms_max;
    for (let told = false; ; told = true) {
      try {
        return new AgentDatabase(path);
      } catch (error) {
        const waits = error instanceof StateUnavailable && error.held && clock.monotonicMs() < enough_ms;
        if (!waits) throw error;
        if (!told) logger.warn({ err: error, waitMsMax: held_ms_max }, 'waiting for the state file');
      }
      await clock.sleep(held_pause_ms, signal);
    }
  }

  /**
   * @throws StateUnavailable when another start may go better: the file is held, the disk is full or fails
   * @throws StartupFault when a person must act: the file is damaged, of a newer agent, or not this user's to write
   */
  constructor(private readonly path: string) {
    let db: DatabaseSync | null = null;
    try {
      // Made by hand first: SQLite would make it readable to all.
      closeSync(openSync(path, 'a', 0o600));
      chmodSync(path, 0o600);
      db = new DatabaseSync(path, { timeout: lock_ms_max });
      this.#db = db;
      // Exclusive: a second agent on the same state would take the same commands twice.
      db.exec('PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;');
      this.#check();
      this.#migrate();
    } catch (cause) {
      db?.close();
      throw cause instanceof StartupFault ? cause : stateFileFault(path, cause);
    }
  }

  /** Rows of a query, at any time. */
  all(sql: string, ...values: SQLInputValue[]): Row[] {
    return this.#statement(sql).all(...values);
  }

  /** First row of a query, or null. */
  one(sql: string, ...values: SQLInputValue[]): Row | null {
    return this.#statement(sql).get(...values) ?? null;
  }

  /** Changes rows; only inside a `commit`. Returns how many. */
  change(sql: string, ...values: SQLInputValue[]): number {
    if (!this.#inWork) throw new Error('A change outside a commit would not be atomic.');
    return Number(this.#statement(sql).run(...values).changes);
  }

  /**
   * Does `work` and resolves with its result once it is durable; rejects with what `work` throws, having changed
   * nothing. `work` is synchronous and reads what earlier works wrote.
   */
  async commit<T>(work: () => T): Promise<T> {
    let result: { readonly value: T } | undefined;
    await new Promise<void>((resolve, reject) => {
      this.#waiting.push({
        run: () => (result = { value: work() }),
        settle: (fault) => {
          if (fault === undefined) resolve();
          // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors -- handed on as it was thrown
          else reject(fault);
        },
      });
      this.#schedule();
    });
    if (result === undefined) throw new Error('A commit was reported without its work.');
    return result.value;
  }

  /** Finishes what is waiting and closes. */
  close(): void {
    while (this.#waiting.length > 0) this.#flush();
    this.#statements.clear();
    this.#db.close();
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      this.#flush();
      if (this.#waiting.length > 0) this.#schedule();
    });
  }

  #flush(): void {
    const works = this.#waiting.splice(0, works_per_commit_max);
    if (works.length === 0) return;
    const outcomes: { work: Work; fault?: unknown }[] = [];
    try {
      this.#db.exec('BEGIN IMMEDIATE');
      for (const work of works) outcomes.push(this.#attempt(work));
      this.#db.exec('COMMIT');
    } catch (fault) {
      if (this.#db.isOpen && this.#db.isTransaction) this.#db.exec('ROLLBACK');
      for (const work of works) work.settle(fault);
      return;
    }
    for (const { work, fault } of outcomes) work.settle(fault);
  }

  #attempt(work: Work): { work: Work; fault?: unknown } {
    this.#db.exec('SAVEPOINT work');
    this.#inWork = true;
    try {
      work.run();
      this.#db.exec('RELEASE work');
      return { work };
    } catch (fault) {
      this.#db.exec('ROLLBACK TO work; RELEASE work');
      return { work, fault: fault ?? new Error('A commit failed without a reason.') };
    } finally {
      this.#inWork = false;
    }
  }

  #statement(sql: string): StatementSync {
    let statement = this.#statements.get(sql);
    if (statement === undefined) {
      statement = this.#db.prepare(sql);
      this.#statements.set(sql, statement);
    }
    return statement;
  }

  /** Fences in pages that cannot be read must be missed now, not when a command comes that they would have refused. */
  #check(): void {
    const row = this.#db.prepare('PRAGMA quick_check(1)').get();
    const found = row?.['quick_check'];
    if (found !== 'ok') throw damagedState(this.path, String(found));
  }

  /** Schema steps are appended, never edited; `user_version` counts those done. */
  #migrate(): void {
    const row = this.#db.prepare('PRAGMA user_version').get() as { user_version: number };
    if (row.user_version > schemaSteps.length) {
      throw new StartupFault(
        `The state file ${this.path} was written by a newer agent: it has schema ${row.user_version}, this agent knows ` +
          `up to ${schemaSteps.length}. Install the newer agent again; an older one would not understand what it must keep.`,
      );
    }
    for (const [index, step] of schemaSteps.entries()) {
      if (index < row.user_version) continue;
      this.#db.exec(`BEGIN EXCLUSIVE; ${step}; PRAGMA user_version = ${index + 1}; COMMIT`);
    }
  }
}

import { chmodSync, closeSync, openSync } from 'node:fs';
import { DatabaseSync, type SQLInputValue, type SQLOutputValue, type StatementSync } from 'node:sqlite';
import type { Clock } from '#libs/clock';
import { lacksRoom } from './sqlite.codes.js';

export type Row = Record<string, SQLOutputValue>;

/** What it means to whoever opens a file that it cannot be used; each says what to do. */
export interface SqliteFaults {
  /** The file has schema `found`, this program knows up to `known`. */
  newer(found: number, known: number): Error;
  /** Its pages do not hold together. */
  damaged(why: string): Error;
  /** Anything else: held by another process, a disk that is full or fails, rights. */
  unusable(cause: unknown): Error;
}

export interface SqliteFileOptions {
  readonly path: string;
  /** Steps of the schema: appended, never edited; `user_version` counts those done. */
  readonly steps: readonly string[];
  readonly faults: SqliteFaults;
}

/** Waits for room on the disk. */
export interface Patience {
  readonly clock: Clock;
  /** Ends the wait. */
  readonly signal: AbortSignal;
}

interface Work {
  readonly run: () => void;
  readonly settle: (fault?: unknown) => void;
}

/** Works that share one commit at most; more wait for the next one. */
const works_per_commit_max = 256;
/** SQLite waits this long for a lock, with the whole process standing still. */
const lock_ms_max = 50;
const room_pause_ms_first = 200;
const room_pause_ms_max = 5000;

/**
 * A durable memory: one SQLite file, one process.
 *
 * A commit is flushed to the disk before it is reported (WAL, synchronous=FULL), so what is acknowledged after it
 * survives a power failure. A flush takes milliseconds and many lanes write at the same time, so works that are
 * waiting together share one transaction; each has its own savepoint and fails alone.
 */
export class SqliteFile {
  readonly #db: DatabaseSync;
  readonly #statements = new Map<string, StatementSync>();
  #waiting: Work[] = [];
  #scheduled = false;
  #inWork = false;

  /** Throws what `faults` makes of it when the file cannot be used. */
  constructor({ path, steps, faults }: SqliteFileOptions) {
    let db: DatabaseSync | null = null;
    try {
      // Made by hand first: SQLite would make it readable to all.
      closeSync(openSync(path, 'a', 0o600));
      chmodSync(path, 0o600);
      db = new DatabaseSync(path, { timeout: lock_ms_max });
      this.#db = db;
      // Exclusive: a second process on the same file would do everything twice.
      db.exec('PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;');
      const unfit = this.#unfit(steps, faults);
      if (unfit === null) this.#migrate(steps);
      else {
        db.close();
        db = null;
        throw new Unfit(unfit);
      }
    } catch (cause) {
      db?.close();
      throw cause instanceof Unfit ? cause.fault : faults.unusable(cause);
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
   * nothing. `work` is synchronous and reads what earlier works wrote. With `patience` a disk that is full, or fails, is
   * waited for, and the work done again; the others are refused meanwhile.
   */
  async commit<T>(work: () => T, patience?: Patience): Promise<T> {
    for (let pause_ms = room_pause_ms_first; ; pause_ms = Math.min(pause_ms * 2, room_pause_ms_max)) {
      try {
        return await this.#once(work);
      } catch (error) {
        if (patience === undefined || !lacksRoom(error)) throw error;
        await patience.clock.sleep(pause_ms, patience.signal);
      }
    }
  }

  /** Finishes what is waiting and closes. */
  close(): void {
    while (this.#waiting.length > 0) this.#flush();
    this.#statements.clear();
    this.#db.close();
  }

  /** For tests of a full disk: the file grows no further than this; null: as far as it likes. */
  limitPages(pages_max: number | null): void {
    this.#db.exec(`PRAGMA max_page_count = ${pages_max ?? pages_unlimited}`);
  }

  async #once<T>(work: () => T): Promise<T> {
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
      // A full disk may have ended the whole transaction, and with it the savepoint.
      if (!this.#db.isTransaction) throw fault;
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

  /** What keeps the file from being used. Pages that cannot be read must be missed now, not when they are needed. */
  #unfit(steps: readonly string[], faults: SqliteFaults): Error | null {
    const found = this.#db.prepare('PRAGMA quick_check(1)').get()?.['quick_check'];
    if (found !== 'ok') return faults.damaged(String(found));
    const done = this.#version();
    return done > steps.length ? faults.newer(done, steps.length) : null;
  }

  #migrate(steps: readonly string[]): void {
    const done = this.#version();
    for (const [index, step] of steps.entries()) {
      if (index < done) continue;
      this.#db.exec(`BEGIN EXCLUSIVE; ${step}; PRAGMA user_version = ${index + 1}; COMMIT`);
    }
  }

  #version(): number {
    const row = this.#db.prepare('PRAGMA user_version').get() as { user_version: number };
    return row.user_version;
  }
}

/** Carries a fault that is known past those that are not. */
class Unfit extends Error {
  constructor(readonly fault: Error) {
    super(fault.message);
  }
}

/** The most SQLite allows. */
const pages_unlimited = 4_294_967_294;

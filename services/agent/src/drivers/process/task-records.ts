import { Epoch, Id, Name, RuntimeName, RuntimeVersion, Timestamp } from '#libs/contracts';
import { linkSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { errorCode } from '../error-code.js';

const TaskRecord = z.strictObject({
  schema: z.literal(1),
  fleet: Name,
  host: Name,
  tenant: Name,
  bot: Name,
  account: Name,
  allocation: Id,
  epoch: Epoch,
  runtime: RuntimeName,
  version: RuntimeVersion.nullable().default(null),
  runDir: z.string(),
  /** Null before the first start. */
  process: z.strictObject({ pid: z.int().min(2), startTicks: z.int().min(0), bootId: z.string() }).nullable(),
  /** Null while it runs; `exitCode` null when nobody saw how it ended. */
  exit: z.strictObject({ exitCode: z.int().nullable(), at: Timestamp }).nullable(),
});
export type TaskRecord = z.infer<typeof TaskRecord>;

const FILE = /^bot-(.+)\.json$/;

/**
 * One file for each account, `bot-<account>.json`: the mutex against two bots for one account on this machine, and all
 * that is known after the agent has been restarted. Written whole and renamed; synchronous, so that a change reads and
 * writes without anything in between.
 */
export class TaskRecords {
  constructor(private readonly dir: string) {
    mkdirSync(dir, { recursive: true, mode: 0o700 });
  }

  /** Takes the account's name. False when somebody has it. */
  take(record: TaskRecord): boolean {
    const temporary = this.write(record);
    try {
      linkSync(temporary, this.path(record.account));
      return true;
    } catch (error) {
      if (errorCode(error) === 'EEXIST') return false;
      throw error;
    } finally {
      rmSync(temporary, { force: true });
    }
  }

  /** Null when the account has none; throws when it cannot be read. */
  ofAccount(account: string): TaskRecord | null {
    try {
      return TaskRecord.parse(JSON.parse(readFileSync(this.path(account), 'utf8')));
    } catch (error) {
      if (errorCode(error) === 'ENOENT') return null;
      throw error;
    }
  }

  ofAllocation(allocation: string): TaskRecord | null {
    return this.all().records.find((record) => record.allocation === allocation) ?? null;
  }

  /** Changes the allocation's record if it still is the account's. */
  change(current: TaskRecord, changes: Partial<Pick<TaskRecord, 'process' | 'exit'>>): TaskRecord | null {
    const record = this.ofAccount(current.account);
    if (record?.allocation !== current.allocation) return null;
    const changed = { ...record, ...changes };
    renameSync(this.write(changed), this.path(record.account));
    return changed;
  }

  /** Gives the account's name back, if this allocation has it. */
  release(record: TaskRecord): void {
    if (this.ofAccount(record.account)?.allocation === record.allocation) rmSync(this.path(record.account));
  }

  removeFile(file: string): void {
    if (FILE.test(file)) rmSync(join(this.dir, file), { force: true });
  }

  all(): { records: TaskRecord[]; unreadable: { file: string; why: string }[] } {
    const records: TaskRecord[] = [];
    const unreadable: { file: string; why: string }[] = [];
    for (const file of readdirSync(this.dir)) {
      const account = FILE.exec(file)?.[1];
      if (account === undefined) continue;
      try {
        const record = this.ofAccount(account);
        if (record !== null) records.push(record);
      } catch (error) {
        unreadable.push({ file, why: `record ${file} cannot be read: ${String(error).slice(0, 200)}` });
      }
    }
    return { records, unreadable };
  }

  private write(record: TaskRecord): string {
    const temporary = join(this.dir, `.${record.account}.${process.pid}.tmp`);
    writeFileSync(temporary, JSON.stringify(record), { mode: 0o600 });
    return temporary;
  }

  private path(account: string): string {
    return join(this.dir, `bot-${account}.json`);
  }
}

import { DriverError, type DriverLog, type TaskSpec } from '../driver.js';
import { isAlive } from './proc-table.js';
import type { TaskRecord, TaskRecords } from './task-records.js';

/** Gives an account to one allocation at a time, by the same rules as the docker driver's `NameMutex`. */
export class AccountMutex {
  constructor(
    private readonly records: TaskRecords,
    private readonly fleet: string,
    private readonly host: string,
    private readonly log: DriverLog,
  ) {}

  /** Takes the account's name, or throws `name-taken`. */
  create(task: TaskSpec): void {
    const { allocation, tenant, bot, account, epoch, host, runtime, version, runDir } = task;
    if (host !== this.host) {
      throw new DriverError('engine-refused', `allocation ${allocation} is for host ${host}`, false);
    }
    const { fleet } = this;
    const named = {
      schema: 1,
      fleet,
      host,
      tenant,
      bot,
      account,
      allocation,
      epoch,
      runtime,
      version,
      runDir,
    } as const;
    const record: TaskRecord = { ...named, process: null, exit: null };
    if (this.records.take(record)) return;
    const holder = this.records.ofAccount(account);
    if (holder?.allocation === allocation) return;
    if (holder !== null) this.evict(holder, task);
    if (!this.records.take(record)) {
      throw new DriverError('name-taken', `account ${account} was taken in between`, true);
    }
  }

  /** Removes the dead remains of a lower epoch. */
  private evict(holder: TaskRecord, task: TaskSpec): void {
    const alive = holder.process !== null && isAlive(holder.process);
    const who = `account ${holder.account} is held by allocation ${holder.allocation} (epoch ${holder.epoch})`;
    if (holder.fleet !== this.fleet || holder.epoch >= task.epoch) {
      throw new DriverError('name-taken', who, false);
    }
    if (alive) throw new DriverError('name-taken', who, true);
    this.log.info({ account: holder.account, allocation: holder.allocation }, 'removing remains');
    this.records.release(holder);
  }
}

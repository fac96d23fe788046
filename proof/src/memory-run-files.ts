import { runtimes, type BotFile, type LeaseFile, type StatusFile } from '#libs/contracts';
import { RunDirectories } from '../../services/agent/src/run-files/run-directories.js';

/**
 * The run directories of a host, in memory: they outlive its agent as a tmpfs does. A bot says that it is ready as soon as
 * it is asked, and somebody is told of every lease that is written.
 */
export class MemoryRunFiles extends RunDirectories {
  private readonly bots = new Map<string, BotFile>();
  private readonly leases = new Map<string, LeaseFile>();

  constructor(
    private readonly onLease: (lease: LeaseFile) => void,
    private readonly wallMs: () => number,
  ) {
    super('/nonexistent', null);
  }

  override make(bot: BotFile): Promise<void> {
    this.bots.set(bot.allocation, bot);
    return Promise.resolve();
  }

  override writeLease(lease: LeaseFile): Promise<void> {
    this.leases.set(lease.allocation, lease);
    this.onLease(lease);
    return Promise.resolve();
  }

  override readLease(allocation: string): Promise<LeaseFile | null> {
    return Promise.resolve(this.leases.get(allocation) ?? null);
  }

  /** What the supervisor of a container reads. */
  lease(allocation: string): LeaseFile | null {
    return this.leases.get(allocation) ?? null;
  }

  override writeCredentials(): Promise<void> {
    return Promise.resolve();
  }

  override removeCredentials(): Promise<void> {
    return Promise.resolve();
  }

  override readStatus(allocation: string, epoch: number): Promise<StatusFile | null> {
    const bot = this.bots.get(allocation);
    if (bot === undefined || !this.leases.has(allocation)) return Promise.resolve(null);
    return Promise.resolve({
      ...{ schema: 1, allocation, epoch, stage: runtimes[bot.runtime].stages.at(-1) ?? 'container' },
      ...{ equity: 1, balance: 1, currency: 'EUR', positions: [], ordersToday: 0, controlSequence: 0 },
      ...{ leaseDeadlineBoottimeMs: null, writtenAt: new Date(this.wallMs()).toISOString(), error: null },
    });
  }

  override clear(allocation: string): Promise<void> {
    this.leases.delete(allocation);
    return Promise.resolve();
  }

  override remove(allocation: string): Promise<void> {
    this.leases.delete(allocation);
    this.bots.delete(allocation);
    return Promise.resolve();
  }

  override list(): Promise<string[]> {
    return Promise.resolve([...this.bots.keys()]);
  }
}

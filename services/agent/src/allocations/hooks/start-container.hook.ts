import { Inject, Injectable } from '@nestjs/common';
import { CLOCK, type Clock } from '#libs/clock';
import { DRIVER, type Driver } from '../../drivers/driver.js';
import { AllocationFailure } from '../../errors.js';
import { LeaseKeeper } from '../../leases/lease-keeper.js';
import type { AllocationHook, HookContext } from '../allocation.hook.js';
import { driverStep } from './driver-step.js';

/** Longest wait for the first lease; longer than a standby scheduler needs to take over. */
export const lease_wait_ms_max = 60_000;

/** The container runs, and not before the allocation has its first lease. */
@Injectable()
export class StartContainerHook implements AllocationHook {
  readonly name = 'start';
  /** Told by the state of the allocation and by the container itself. */
  readonly lasting = false;

  constructor(
    @Inject(DRIVER) private readonly driver: Driver,
    private readonly leases: LeaseKeeper,
    @Inject(CLOCK) private readonly clock: Clock,
  ) {}

  async run(context: HookContext): Promise<void> {
    const { record, task, signal } = context;
    if (!(await this.leases.waitForLease(record.id, lease_wait_ms_max, signal))) {
      throw new AllocationFailure('lease-ended', 'The scheduler gave no lease in time.');
    }
    await context.publishLease();
    const handle = await driverStep(() => this.driver.start(task), { clock: this.clock, signal });
    await context.started(handle);
  }
}

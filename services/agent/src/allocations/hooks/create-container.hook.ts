import { Inject, Injectable } from '@nestjs/common';
import { CLOCK, type Clock } from '#libs/clock';
import { DRIVER, type Driver } from '../../drivers/driver.js';
import type { AllocationHook, HookContext } from '../allocation.hook.js';
import { driverStep } from './driver-step.js';

/** The container is there and does not run. Its name is the account's mutex on this host. */
@Injectable()
export class CreateContainerHook implements AllocationHook {
  readonly name = 'create';
  readonly lasting = true;

  constructor(
    @Inject(DRIVER) private readonly driver: Driver,
    @Inject(CLOCK) private readonly clock: Clock,
  ) {}

  async run({ task, signal }: HookContext): Promise<void> {
    await driverStep(() => this.driver.prepare('create', task), { clock: this.clock, signal });
  }
}

import { Inject, Injectable } from '@nestjs/common';
import { CLOCK, type Clock } from '#libs/clock';
import { DRIVER, type Driver } from '../../drivers/driver.js';
import type { AllocationHook, HookContext } from '../allocation.hook.js';
import { driverStep } from './driver-step.js';

/** The allocation's own internal network is there. */
@Injectable()
export class PrepareNetworkHook implements AllocationHook {
  readonly name = 'network';
  readonly lasting = true;

  constructor(
    @Inject(DRIVER) private readonly driver: Driver,
    @Inject(CLOCK) private readonly clock: Clock,
  ) {}

  async run({ task, signal }: HookContext): Promise<void> {
    await driverStep(() => this.driver.prepare('network', task), { clock: this.clock, signal });
  }
}

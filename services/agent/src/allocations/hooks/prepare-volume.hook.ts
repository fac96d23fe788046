import { Inject, Injectable } from '@nestjs/common';
import { CLOCK, type Clock } from '#libs/clock';
import { DRIVER, type Driver } from '../../drivers/driver.js';
import { RUN_FILES, type RunFiles } from '../../run-files/run-files.js';
import type { AllocationHook, HookContext } from '../allocation.hook.js';
import { driverStep } from './driver-step.js';

/** What the bot keeps is there: its named volume; and what it is told: its runtime directory. */
@Injectable()
export class PrepareVolumeHook implements AllocationHook {
  readonly name = 'volume';
  readonly lasting = true;

  constructor(
    @Inject(DRIVER) private readonly driver: Driver,
    @Inject(RUN_FILES) private readonly files: RunFiles,
    @Inject(CLOCK) private readonly clock: Clock,
  ) {}

  async run({ record, task, signal }: HookContext): Promise<void> {
    await driverStep(() => this.driver.prepare('volume', task), { clock: this.clock, signal });
    await this.files?.make({
      schema: 1,
      tenant: task.tenant,
      bot: task.bot,
      account: task.account,
      allocation: task.allocation,
      epoch: task.epoch,
      host: task.host,
      runtime: task.runtime,
      parameters: record.command.parameters,
      stageTimeoutMs: record.command.stageTimeoutMs,
      stopGraceMs: task.stopGraceMs,
    });
  }
}

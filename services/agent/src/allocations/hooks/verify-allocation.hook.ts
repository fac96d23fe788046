import { runtimeRef } from '#libs/contracts';
import { Inject, Injectable } from '@nestjs/common';
import { AllocationFailure } from '../../errors.js';
import { HOST_ABILITY, type HostAbility } from '../../host/host-ability.js';
import { FencesRepository } from '../../state/fences.repository.js';
import type { AllocationHook, HookContext } from '../allocation.hook.js';

/**
 * Whether the allocation may still be prepared here. Its command was verified when it came; while it waited, or
 * while the agent was down, a newer epoch may have come.
 */
@Injectable()
export class VerifyAllocationHook implements AllocationHook {
  readonly name = 'verify';
  readonly lasting = false;

  constructor(
    private readonly fences: FencesRepository,
    @Inject(HOST_ABILITY) private readonly ability: Pick<HostAbility, 'runtimes' | 'capacity'>,
  ) {}

  run({ record, task }: HookContext): Promise<void> {
    if (this.fences.epoch(record.account) !== record.epoch) {
      throw new AllocationFailure('stale-epoch', 'A newer allocation of the account was seen.');
    }
    const wanted = runtimeRef(task.runtime, task.version);
    if (!this.ability.runtimes.includes(wanted)) {
      throw hopeless(`This host has no image for the runtime ${wanted}.`);
    }
    const { cpuMillis, memoryMiB } = this.ability.capacity;
    if (task.resources.cpuMillis > cpuMillis || task.resources.memoryMiB > memoryMiB) {
      throw hopeless('The bot asks for more than this whole host has.');
    }
    return Promise.resolve();
  }
}

/** No attempt on this host can do better. */
const hopeless = (detail: string): AllocationFailure =>
  new AllocationFailure('start-failed', detail, { hopeless: true });

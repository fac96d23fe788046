import { Injectable } from '@nestjs/common';
import type { AllocationHook, HookContext } from './allocation.hook.js';
import { AwaitReadyHook } from './hooks/await-ready.hook.js';
import { CreateContainerHook } from './hooks/create-container.hook.js';
import { FetchGrantHook } from './hooks/fetch-grant.hook.js';
import { PrepareImageHook } from './hooks/prepare-image.hook.js';
import { PrepareNetworkHook } from './hooks/prepare-network.hook.js';
import { PrepareVolumeHook } from './hooks/prepare-volume.hook.js';
import { StartContainerHook } from './hooks/start-container.hook.js';
import { StayHealthyHook } from './hooks/stay-healthy.hook.js';
import { VerifyAllocationHook } from './hooks/verify-allocation.hook.js';

/** What remembers which hooks are done. */
export interface HookMemory {
  done(): ReadonlySet<string>;
  /** Waits for room on the disk, until the signal aborts. */
  remember(hook: string, signal: AbortSignal): Promise<void>;
}

/** The order of the hooks stands here and nowhere else. */
@Injectable()
export class AllocationHooks {
  /** Up to a container that runs. */
  readonly untilStarted: readonly AllocationHook[];
  /** From there to a bot that is ready. */
  readonly untilReady: readonly AllocationHook[];
  /** And as long as it is. */
  readonly whileReady: readonly AllocationHook[];

  constructor(
    verify: VerifyAllocationHook,
    image: PrepareImageHook,
    network: PrepareNetworkHook,
    volume: PrepareVolumeHook,
    grant: FetchGrantHook,
    create: CreateContainerHook,
    start: StartContainerHook,
    ready: AwaitReadyHook,
    healthy: StayHealthyHook,
  ) {
    this.untilStarted = [verify, image, network, volume, grant, create, start];
    this.untilReady = [ready];
    this.whileReady = [healthy];
  }
}

/** Runs hooks one after the other, without those that are remembered as done; stops at the first that throws. */
export async function runHooks(
  hooks: readonly AllocationHook[],
  context: HookContext,
  memory: HookMemory,
): Promise<void> {
  const done = memory.done();
  for (const hook of hooks) {
    context.signal.throwIfAborted();
    if (done.has(hook.name)) continue;
    await hook.run(context);
    if (hook.lasting) await memory.remember(hook.name, context.signal);
  }
}

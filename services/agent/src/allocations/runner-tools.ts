import type { Clock } from '#libs/clock';
import type { Logger } from '#libs/telemetry';
import type { Driver } from '../drivers/driver.js';
import type { HeartbeatSignal } from '../heartbeats/heartbeat.signal.js';
import type { Identity } from '../identity/identity.js';
import type { LeaseKeeper } from '../leases/lease-keeper.js';
import type { RunFiles } from '../run-files/run-files.js';
import type { AllocationHooks, HookMemory } from './allocation.hooks.js';
import type { AllocationJournal } from './allocation.journal.js';
import type { AllocationRestarts } from './allocation.restarts.js';
import type { AllocationTakedown } from './allocation.takedown.js';
import type { WorkSlots } from './work-slots.js';

/** What a runner works with; one set for all of them. */
export interface RunnerTools {
  readonly driver: Driver;
  readonly hooks: AllocationHooks;
  readonly journal: AllocationJournal;
  readonly memory: (allocation: string) => HookMemory;
  readonly slots: WorkSlots;
  readonly leases: LeaseKeeper;
  readonly files: RunFiles;
  readonly restarts: AllocationRestarts;
  readonly takedown: AllocationTakedown;
  readonly heartbeats: HeartbeatSignal;
  readonly identity: Identity;
  readonly clock: Clock;
  readonly logger: Logger;
}

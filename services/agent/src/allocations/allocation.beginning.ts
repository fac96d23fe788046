import type { TaskHandle } from '../drivers/driver.js';
import type { AttemptEnd } from './allocation.attempts.js';
import type { AllocationRecord } from './allocation.record.js';
import type { Ending } from './allocation.takedown.js';

/** How the work on an allocation begins. */
export type Beginning =
  /** With the attempt that the record names; where that is waited for, `left` is what there may be of the one before. */
  | { readonly kind: 'run'; readonly left?: TaskHandle | null }
  /** A restarted agent found its container alive under a live lease. */
  | { readonly kind: 'adopted'; readonly handle: TaskHandle; readonly deadlineMs: number | null }
  /** A restarted agent found that its bot has ended by itself, under a lease that lives. */
  | {
      readonly kind: 'ended';
      readonly handle: TaskHandle | null;
      readonly deadlineMs: number | null;
      readonly end: AttemptEnd;
    }
  /** A restarted agent found that it is over, or that it must be. */
  | { readonly kind: 'over'; readonly handle: TaskHandle | null; readonly ending: Ending };

/** The container to see to: not one that was only made for this very attempt, whose hooks go on with it or make it anew. */
export function foundWith(beginning: Beginning, { attempts }: AllocationRecord): TaskHandle | null {
  if (beginning.kind !== 'run') return beginning.handle;
  return attempts.dueBoottimeMs === null ? null : (beginning.left ?? null);
}

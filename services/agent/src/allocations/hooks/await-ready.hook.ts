import { Inject, Injectable } from '@nestjs/common';
import { CLOCK, type Clock } from '#libs/clock';
import { runtimes, type Stage } from '#libs/contracts';
import { AllocationFailure } from '../../errors.js';
import { RUN_FILES, type RunFiles } from '../../run-files/run-files.js';
import type { AllocationHook, HookContext } from '../allocation.hook.js';

/**
 * The bot has passed every readiness stage of its runtime, each in its time. What it says of itself is not trusted:
 * it can make itself look ready, and gains nothing by it.
 */
@Injectable()
export class AwaitReadyHook implements AllocationHook {
  readonly name = 'ready';
  readonly lasting = false;

  constructor(
    @Inject(RUN_FILES) private readonly files: RunFiles,
    @Inject(CLOCK) private readonly clock: Clock,
  ) {}

  async run(context: HookContext): Promise<void> {
    const { stages } = runtimes[context.task.runtime];
    if (context.record.stage === stages.at(-1)) return;
    // A driver without files has no bot that could say how far it is.
    if (this.files === null) {
      await context.reached(stages.slice(-1), true, null);
      return;
    }
    const timeout_ms = context.record.command.stageTimeoutMs;
    let due_ms = this.clock.monotonicMs() + timeout_ms;
    let since_ms = context.startedMs;
    for (;;) {
      context.signal.throwIfAborted();
      const passed = stagesPassed(stages, context.record.stage, context.status.latest()?.stage ?? null);
      if (passed.length > 0) {
        // The password has done its work once the bot has logged in; until it is gone the stage is not reported.
        const loggedIn = passed.some((stage) => stages.indexOf(stage) >= stages.indexOf('login'));
        if (loggedIn) await this.files.removeCredentials(context.record.id);
        const ready = passed.at(-1) === stages.at(-1);
        const now_ms = this.clock.monotonicMs();
        await context.reached(passed, ready, since_ms === null ? null : Math.round(now_ms - since_ms));
        if (ready) return;
        since_ms = now_ms;
        due_ms = this.clock.monotonicMs() + timeout_ms;
        continue;
      }
      const left_ms = due_ms - this.clock.monotonicMs();
      if (left_ms <= 0) throw stageTimeout(stages, context, timeout_ms);
      await context.status.next(left_ms, context.signal);
    }
  }
}

/** Stages after `reported` up to `seen`, in order. A stage the runtime does not have counts as none. Pure. */
export function stagesPassed(stages: readonly Stage[], reported: Stage | null, seen: Stage | null): Stage[] {
  const from = reported === null ? 0 : stages.indexOf(reported) + 1;
  const to = seen === null ? 0 : stages.indexOf(seen) + 1;
  return stages.slice(from, Math.max(from, to));
}

function stageTimeout(stages: readonly Stage[], context: HookContext, timeout_ms: number): AllocationFailure {
  const next = stages[context.record.stage === null ? 0 : stages.indexOf(context.record.stage) + 1];
  const error = context.status.latest()?.error ?? null;
  const said = error === null ? '' : ` The bot says: ${error}`;
  return new AllocationFailure(
    'stage-timeout',
    `The stage ${next ?? 'after the last'} was not reached within ${timeout_ms} ms.${said}`.slice(0, 300),
  );
}

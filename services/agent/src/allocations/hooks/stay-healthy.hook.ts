import { Inject, Injectable } from '@nestjs/common';
import { CLOCK, type Clock } from '#libs/clock';
import { runtimes, type Stage } from '#libs/contracts';
import { AllocationFailure } from '../../errors.js';
import { RUN_FILES, type RunFiles } from '../../run-files/run-files.js';
import type { AllocationHook, HookContext } from '../allocation.hook.js';

/** Looks in the longest wait: what ends a bot is seen at most a share of it late. */
const looks_per_wait = 10;
const look_ms_min = 250;
const look_ms_max = 10_000;

/**
 * A bot that was ready goes on saying so. One that is silent, or says that it has fallen back, for `unhealthyAfterMs`
 * without a break is ended: it may hang, and then nobody watches its positions. Until then nothing is done to it, for a
 * market or a connection that is gone for a while is no fault of the bot's, and its open positions are better off with it.
 * Never returns: it is left by its signal.
 */
@Injectable()
export class StayHealthyHook implements AllocationHook {
  readonly name = 'healthy';
  readonly lasting = false;

  constructor(
    @Inject(RUN_FILES) private readonly files: RunFiles,
    @Inject(CLOCK) private readonly clock: Clock,
  ) {}

  async run({ record, task, status, signal }: HookContext): Promise<void> {
    const after_ms = record.command.unhealthyAfterMs;
    // A driver without files has no bot that could say anything.
    if (this.files === null || after_ms === 0) return;
    const ready = runtimes[task.runtime].stages.at(-1) ?? null;
    const look_ms = Math.min(Math.max(after_ms / looks_per_wait, look_ms_min), look_ms_max);
    let fallenSince_ms: number | null = null;
    for (;;) {
      await this.clock.sleep(look_ms, signal);
      const stage: Stage | null = status.latest()?.stage ?? null;
      const now_ms = this.clock.monotonicMs();
      fallenSince_ms = stage === null || stage === ready ? null : (fallenSince_ms ?? now_ms);
      if (status.silentMs() >= after_ms) {
        throw new AllocationFailure('unhealthy', `The bot has said nothing for ${after_ms} ms.`);
      }
      if (fallenSince_ms !== null && now_ms - fallenSince_ms >= after_ms) {
        throw new AllocationFailure(
          'unhealthy',
          `The bot has been back at the stage ${stage ?? 'none'} for ${after_ms} ms.`,
        );
      }
    }
  }
}

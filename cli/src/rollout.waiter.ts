import { hasEnded, ProblemError, type Rollout } from '#libs/contracts';
import { type ExitCode, exitCodes } from './exit.codes.js';
import { isPassing } from './fleet.gateway.js';
import { progressText, showRollout } from './output/rollout.views.js';
import type { Session } from './session.js';

const pause_ms = 500;

/**
 * Waits until a rollout has ended, shows how far it is, and prints how it ended. While the scheduler does not answer it
 * is asked again. Exit codes: ok when it succeeded, or was reverted as `wanted`; operationFailed, timeout.
 */
export async function waitForRollout(
  id: string,
  timeout_s: number,
  { gateway, printer, surroundings }: Session,
  wanted: Rollout['state'] = 'succeeded',
): Promise<ExitCode | undefined> {
  const { clock, interrupted } = surroundings;
  const deadline_ms = clock.monotonicMs() + timeout_s * 1000;
  let far = 'no answer';
  for (;;) {
    try {
      const rollout = await gateway.call('rollouts.get', { id });
      if (hasEnded(rollout.state)) {
        printer.answer(rollout, () => showRollout(printer, rollout));
        return rollout.state === wanted ? undefined : exitCodes.operationFailed;
      }
      far = progressText(rollout);
      printer.progress(far);
    } catch (error) {
      if (!isPassing(error)) throw error;
      printer.progress(`${id}: the scheduler does not answer; waiting`);
    }
    if (clock.monotonicMs() >= deadline_ms)
      throw new ProblemError(
        'timeout',
        `The rollout has not ended after ${timeout_s} s (${far}); it goes on. Look again: tradefleet rollouts get ${id}.`,
      );
    await clock.sleep(pause_ms, interrupted);
  }
}

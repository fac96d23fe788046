import { type Operation, ProblemError } from '#libs/contracts';
import { type ExitCode, exitCodes } from './exit.codes.js';
import { isPassing } from './fleet.gateway.js';
import { showOperation } from './output/views.js';
import type { Session } from './session.js';

/** One question to the gateway; short, so that progress is seen. */
const ask_ms = 1000;
const pause_ms = 500;
export const wait_s_default = 300;

/**
 * Waits for an operation, shows how far it is, and prints how it ended. While the scheduler does not answer (it may
 * be restarting) it is asked again. Exit codes: ok, operationFailed, timeout.
 */
export async function waitForOperation(
  id: string,
  timeout_s: number,
  session: Session,
): Promise<ExitCode | undefined> {
  const { gateway, printer, surroundings } = session;
  const deadline_ms = surroundings.clock.monotonicMs() + timeout_s * 1000;
  let operation: Operation | null = null;
  for (;;) {
    const left_ms = deadline_ms - surroundings.clock.monotonicMs();
    if (left_ms <= 0) throw overdue(id, timeout_s, operation);
    try {
      const timeoutMs = Math.ceil(Math.min(ask_ms, left_ms));
      operation = await gateway.call('operations.wait', { id, timeoutMs });
      if (operation.state !== 'running') break;
      printer.progress(progressOf(operation));
    } catch (error) {
      if (!isPassing(error)) throw error;
      printer.progress(`${id}: the scheduler does not answer; waiting`);
      await surroundings.clock.sleep(pause_ms, surroundings.interrupted);
    }
  }
  const ended = operation;
  printer.answer(ended, () => showOperation(printer, ended));
  return ended.state === 'succeeded' ? undefined : exitCodes.operationFailed;
}

function progressOf({ kind, progress, targets }: Operation): string {
  const failed = progress.failed === 0 ? '' : `, ${progress.failed} failed`;
  const waiting = targets.find((target) => target.state === 'running' && target.reason !== null);
  const why = waiting === undefined ? '' : ` (${waiting.bot}: ${waiting.reason ?? ''})`;
  return `${kind}: ${progress.done} of ${progress.total} done${failed}${why}`;
}

function overdue(id: string, timeout_s: number, operation: Operation | null): ProblemError {
  const far = operation === null ? 'no answer' : progressOf(operation);
  return new ProblemError(
    'timeout',
    `The operation has not ended after ${timeout_s} s (${far}); it goes on. Wait again: tradefleet operations wait ${id}.`,
  );
}

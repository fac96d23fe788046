import type { Clock } from '#libs/clock';
import type { EndReason } from '#libs/contracts';
import { DriverError } from '../../drivers/driver.js';
import { AllocationFailure, oneLine } from '../../errors.js';

/** Tries of a step the driver says may succeed later: about 0.5 + 1 + 2 s between them, beside the driver's own. */
const tries_max = 4;
const pause_ms_first = 500;

/** Does a step of the driver, again where that can help, and says in our words why it failed. */
export async function driverStep<T>(
  step: () => Promise<T>,
  { clock, signal }: { readonly clock: Clock; readonly signal: AbortSignal },
): Promise<T> {
  for (let tries = 1; ; tries += 1) {
    signal.throwIfAborted();
    try {
      return await step();
    } catch (error) {
      if (!(error instanceof DriverError)) throw error;
      if (!error.retry || tries === tries_max) {
        throw new AllocationFailure(reasonOf(error), oneLine(error), { cause: error });
      }
      await clock.sleep(pause_ms_first * 2 ** (tries - 1), signal);
    }
  }
}

const reasonOf = (error: DriverError): EndReason =>
  error.fault === 'image-missing' ? 'image-missing' : 'start-failed';

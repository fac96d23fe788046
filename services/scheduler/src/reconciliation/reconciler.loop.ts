import { Inject, Injectable } from '@nestjs/common';
import { BackgroundLoop, CLOCK, pause, type Clock } from '#libs/clock';
import { LOGGER, type Logger } from '#libs/telemetry';
import { LeadershipLost } from '../leadership/leadership.js';
import { RUNTIME_SETTINGS, type RuntimeSettings } from '../runtime.settings.js';
import { ReconcilerRegistry } from './reconciler.registry.js';
import { ReconcilerSignal } from './reconciler.signal.js';

/** Longest time reconciling may go on without a pause, in passes that each stopped at their bound. */
const passes_without_pause_max = 100;

/** Runs the reconcilers: one pass at a time, on a signal or after the interval, for as long as this process leads. */
@Injectable()
export class ReconcilerLoop {
  private readonly loop = new BackgroundLoop(async (signal) => await this.run(signal));

  constructor(
    private readonly registry: ReconcilerRegistry,
    private readonly signal: ReconcilerSignal,
    @Inject(CLOCK) private readonly clock: Clock,
    @Inject(LOGGER) private readonly logger: Logger,
    @Inject(RUNTIME_SETTINGS) private readonly settings: RuntimeSettings,
  ) {}

  /** Begins to run; a second call does nothing. */
  start(): void {
    this.loop.start();
  }

  /** Finishes the pass under way and stops. */
  async stop(): Promise<void> {
    await this.loop.stop();
  }

  /**
   * Every reconciler once, in order; one that fails does not keep the others from their work.
   * @returns whether any stopped at its bound
   */
  async pass(): Promise<boolean> {
    let more = false;
    for (const reconciler of this.registry.inOrder) {
      if (this.loop.isStopping) return false;
      try {
        more = (await reconciler.reconcile()) || more;
      } catch (error) {
        if (error instanceof LeadershipLost) throw error;
        this.logger.error({ err: error, reconciler: reconciler.name }, 'reconciler failed');
      }
    }
    return more;
  }

  private async run(signal: AbortSignal): Promise<void> {
    let passes = 0;
    while (!signal.aborted) {
      const reasons = this.signal.take();
      this.logger.trace({ reasons }, 'reconciling');
      try {
        const more = await this.pass();
        passes = more ? passes + 1 : 0;
      } catch (error) {
        this.logger.error({ err: error }, 'reconciling has ended');
        return;
      }
      if (passes === 0 || passes > passes_without_pause_max) await this.pause(signal);
    }
  }

  /** At least the quiet time, so that changes gather into batches; then until a signal, at most the interval. */
  private async pause(signal: AbortSignal): Promise<void> {
    if (signal.aborted) return;
    const timer = new AbortController();
    const abort = (): void => timer.abort();
    signal.addEventListener('abort', abort, { once: true });
    try {
      await pause(this.clock, this.settings.reconcileQuietMs, timer.signal);
      await Promise.race([
        pause(this.clock, this.settings.reconcileIntervalMs, timer.signal),
        this.signal.next(timer.signal),
      ]);
    } finally {
      signal.removeEventListener('abort', abort);
      timer.abort();
    }
  }
}

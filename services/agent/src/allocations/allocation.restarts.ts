import { Inject, Injectable } from '@nestjs/common';
import { CLOCK, type Clock } from '#libs/clock';
import { restartInPlace } from '#libs/policy';
import { LOGGER, type Logger } from '#libs/telemetry';
import type { AttemptEnd } from './allocation.attempts.js';
import { AllocationJournal } from './allocation.journal.js';
import type { AllocationRecord, StartedRecord } from './allocation.record.js';
import { tokenHasEnded } from './token-expiry.js';

/** Whether a bot that ended by itself is begun again on this host, by the policy of its start command. */
@Injectable()
export class AllocationRestarts {
  constructor(
    private readonly journal: AllocationJournal,
    @Inject(CLOCK) private readonly clock: Clock,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  /** The record with the next attempt, once it is durable and told; null when there is none. */
  async next(record: StartedRecord, end: AttemptEnd, signal: AbortSignal): Promise<AllocationRecord | null> {
    const { command, attempts } = record;
    const boottimeMs = this.clock.boottimeMs();
    const wallMs = this.clock.wallMs();
    const history = {
      reason: end.reason,
      // Without a token there is no grant; a new allocation brings a new one.
      hopeless: end.hopeless || tokenHasEnded(command.token, wallMs),
      now_ms: boottimeMs,
      restarts_ms: attempts.endedBoottimeMs,
    };
    const next = restartInPlace(history, command.restart, Math.random());
    const fields = { allocation: record.id, bot: command.bot, attempt: attempts.attempt, reason: end.reason };
    if (next.kind === 'give-up') {
      this.logger.warn({ ...fields, why: next.why }, 'bot is not started again here');
      return null;
    }
    this.logger.warn({ ...fields, exitCode: end.exitCode, delay_ms: next.delayMs }, 'bot is started again');
    const at = { boottimeMs, wallMs, delayMs: next.delayMs };
    return await this.journal.restarting(record, end, at, signal);
  }
}

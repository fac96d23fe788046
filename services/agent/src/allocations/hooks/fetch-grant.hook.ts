import { Inject, Injectable } from '@nestjs/common';
import { CLOCK, type Clock } from '#libs/clock';
import { Credentials, Grant, ProblemError, subjects, type GrantRequest } from '#libs/contracts';
import { AllocationFailure } from '../../errors.js';
import { Broker } from '../../host/broker.js';
import { Identity } from '../../identity/identity.js';
import { RUN_FILES, type RunFiles } from '../../run-files/run-files.js';
import type { AllocationHook, HookContext } from '../allocation.hook.js';

/** Longest time a grant is asked for; a secrets service that restarts is back by then. */
const grant_wait_ms_max = 60_000;
const request_timeout_ms = 5000;
const pause_ms_first = 250;
const pause_ms_max = 5000;

/**
 * The bot's credentials are where it alone can read them. They exist in the clear here only between opening and
 * writing; nothing of them is logged, and faults quote nothing.
 */
@Injectable()
export class FetchGrantHook implements AllocationHook {
  readonly name = 'grant';
  /** A grant expires: what starts later gets a fresh one. */
  readonly lasting = false;

  constructor(
    private readonly broker: Broker,
    private readonly identity: Identity,
    @Inject(RUN_FILES) private readonly files: RunFiles,
    @Inject(CLOCK) private readonly clock: Clock,
  ) {}

  async run(context: HookContext): Promise<void> {
    // Without files there is no bot that could read credentials, so none are asked for.
    if (this.files === null) return;
    const grant = await this.#ask(context);
    const { record } = context;
    if (grant.allocation !== record.id || grant.epoch !== record.epoch) {
      throw new AllocationFailure('grant-refused', 'The grant is for another allocation or epoch.');
    }
    const credentials = await this.#open(grant);
    const { login, server } = record.command;
    if (credentials.login !== login || credentials.server !== server) {
      throw new AllocationFailure('grant-refused', 'The grant is for another login or server.');
    }
    context.signal.throwIfAborted();
    await this.files.writeCredentials({
      schema: 1,
      allocation: record.id,
      epoch: record.epoch,
      ...credentials,
      expiresAt: grant.expiresAt,
    });
  }

  /** Asks again where the problem says that it may help, within the bound. */
  async #ask({ record, signal }: HookContext): Promise<Grant> {
    const { id, account, epoch, command } = record;
    const request: GrantRequest = {
      host: this.identity.host,
      allocation: id,
      account,
      epoch,
      token: command.token,
    };
    const giveUp_ms = this.clock.monotonicMs() + grant_wait_ms_max;
    for (let pause_ms = pause_ms_first; ; pause_ms = Math.min(pause_ms * 2, pause_ms_max)) {
      signal.throwIfAborted();
      try {
        const subject = subjects.grant(this.identity.host);
        const answer = await this.broker.messaging.request(subject, request, {
          timeoutMs: request_timeout_ms,
        });
        return Grant.parse(answer);
      } catch (error) {
        const again = error instanceof ProblemError && error.retry;
        if (!again || this.clock.monotonicMs() + pause_ms >= giveUp_ms) throw refused(error);
        await this.clock.sleep(pause_ms, signal);
      }
    }
  }

  async #open(grant: Grant): Promise<Credentials> {
    try {
      const bytes = await this.identity.sealingKey.open(grant.sealed);
      try {
        return Credentials.parse(JSON.parse(Buffer.from(bytes).toString('utf8')));
      } finally {
        bytes.fill(0);
      }
    } catch {
      // No cause: the parser's message quotes what it read.
      throw new AllocationFailure('grant-refused', "The grant does not open with this host's sealing key.");
    }
  }
}

function refused(error: unknown): AllocationFailure {
  const detail =
    error instanceof ProblemError ? `${error.code}: ${error.detail}` : 'The answer is not a grant.';
  // What may help later was asked for long; else the same question has the same answer.
  const hopeless = !(error instanceof ProblemError && error.retry);
  return new AllocationFailure('grant-refused', detail.slice(0, 300), { cause: error, hopeless });
}

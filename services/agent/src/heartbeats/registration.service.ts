import { Inject, Injectable } from '@nestjs/common';
import { CLOCK, type Clock } from '#libs/clock';
import { HostRegistered, ProblemError, subjects, type HostRegister, type Labels } from '#libs/contracts';
import { LOGGER, type Logger } from '#libs/telemetry';
import { isAbort } from '../errors.js';
import { bootIdOfMachine } from '../host/boot-id.js';
import { HOST_ABILITY, type HostAbility } from '../host/host-ability.js';
import { Supersession } from '../host/supersession.js';
import { Identity } from '../identity/identity.js';
import { AgentDatabase } from '../state/agent.database.js';
import { FactsRepository } from '../state/facts.repository.js';
import { SignedExchange } from './signed-exchange.js';

export interface HostFacts {
  readonly agentVersion: string;
  readonly labels: Labels;
  /** Of an invitation to join. */
  readonly joinToken?: string | undefined;
}
export const HOST_FACTS = Symbol('HostFacts');

const timeout_ms = 5000;
const pause_ms_first = 250;
/** A scheduler that was away is found again within this; it also bounds how often a refused host asks. */
const pause_ms_max = 10_000;

/** Makes the host known to the scheduler. */
@Injectable()
export class RegistrationService {
  /** The scheduler does not know this host, whatever this host remembers. */
  #unknown = false;

  constructor(
    private readonly exchange: SignedExchange,
    private readonly identity: Identity,
    @Inject(HOST_ABILITY) private readonly ability: HostAbility,
    @Inject(HOST_FACTS) private readonly facts: HostFacts,
    private readonly db: AgentDatabase,
    private readonly remembered: FactsRepository,
    private readonly supersession: Supersession,
    @Inject(CLOCK) private readonly clock: Clock,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  /**
   * Tries until the scheduler has registered this incarnation, or has said that another agent took its place: then
   * `Supersession` tells, and nothing is tried any more. Rejects only when the signal aborts.
   */
  async register(signal: AbortSignal): Promise<HostRegistered> {
    for (let pause_ms = pause_ms_first; ; pause_ms = Math.min(pause_ms * 2, pause_ms_max)) {
      signal.throwIfAborted();
      try {
        const answer = await this.#ask();
        await this.#remember();
        this.logger.info(
          { host: this.identity.host, incarnation: this.identity.incarnation },
          'host registered',
        );
        return answer;
      } catch (error) {
        if (isAbort(error)) throw error;
        this.#explain(error);
        if (error instanceof ProblemError && error.code === 'host_superseded') await this.#superseded(signal);
        await this.clock.sleep(pause_ms, signal);
      }
    }
  }

  /** Asks no more: the agent ends. Rejects when it does. */
  async #superseded(signal: AbortSignal): Promise<never> {
    this.supersession.tell();
    if (!signal.aborted) {
      await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
    }
    throw new DOMException('The host was superseded.', 'AbortError');
  }

  async #ask(): Promise<HostRegistered> {
    const { host, incarnation } = this.identity;
    const bootId = await bootIdOfMachine();
    const request: HostRegister = {
      host,
      incarnation,
      agentVersion: this.facts.agentVersion,
      driver: this.ability.driver,
      runtimes: [...this.ability.runtimes],
      labels: this.facts.labels,
      capacity: this.ability.capacity,
      fingerprint: this.ability.fingerprint,
      ...(bootId === null ? {} : { bootId }),
      signingKey: this.identity.signingKey.publicJwk,
      sealingKey: this.identity.sealingKey.publicJwk,
      ...this.#joinToken(),
    };
    const answer = await this.exchange.ask(subjects.register(host), request, HostRegistered, timeout_ms);
    if (answer.host !== host || answer.incarnation !== incarnation) {
      throw new ProblemError('bad_signature', 'The answer to the registration is for another request.');
    }
    return answer;
  }

  /** A token goes over the wire only as long as it is needed. */
  #joinToken(): { joinToken?: string } {
    const { joinToken } = this.facts;
    const isKnown = this.remembered.get('registered-key') === this.identity.signingKey.publicJwk.x;
    return joinToken === undefined || (isKnown && !this.#unknown) ? {} : { joinToken };
  }

  async #remember(): Promise<void> {
    this.#unknown = false;
    const { x } = this.identity.signingKey.publicJwk;
    if (this.remembered.get('registered-key') === x) return;
    await this.db.commit(() => this.remembered.set('registered-key', x));
  }

  #explain(error: unknown): void {
    // It was removed from the fleet, or the fleet's database is another one.
    if (error instanceof ProblemError && error.code === 'join_token_invalid') this.#unknown = true;
    if (error instanceof ProblemError && error.retry) {
      this.logger.warn({ code: error.code }, 'registration is tried again');
    } else {
      // A key mismatch, say, needs a person; the agent keeps asking so that nobody need restart it.
      this.logger.error({ err: error }, 'registration is refused');
    }
  }
}

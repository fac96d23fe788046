import { Inject, Injectable } from '@nestjs/common';
import { CLOCK, type Clock } from '#libs/clock';
import { HeartbeatAck, ProblemError, isLive, subjects, type Heartbeat } from '#libs/contracts';
import { lacksRoom } from '#libs/spool';
import { LOGGER, type Logger } from '#libs/telemetry';
import { AllocationsService } from '../allocations/allocations.service.js';
import { isAbort } from '../errors.js';
import { HOST_ABILITY, type HostAbility } from '../host/host-ability.js';
import { Identity } from '../identity/identity.js';
import { leaseDeadlineMs } from '../leases/lease-deadline.js';
import { LeaseKeeper } from '../leases/lease-keeper.js';
import { AgentDatabase } from '../state/agent.database.js';
import { AllocationsRepository } from '../state/allocations.repository.js';
import { FactsRepository } from '../state/facts.repository.js';
import { checkAnswer } from './heartbeat-answer.js';
import { HeartbeatSignal } from './heartbeat.signal.js';
import { RegistrationService } from './registration.service.js';
import { SignedExchange } from './signed-exchange.js';

export interface HeartbeatOptions {
  /** Subtracted from every lease, see `TRADEFLEET_LEASE_MARGIN_MS`. */
  readonly leaseMarginMs: number;
  /** Longest wait for an answer. */
  readonly timeoutMs: number;
}
export const HEARTBEAT_OPTIONS = Symbol('HeartbeatOptions');

/** Heartbeats that were called for at once still keep this distance, so that many calls make one. */
const spacing_ms_min = 50;
/** Distance while somebody waits for a first lease, and after a failure. */
const pressing_ms = 500;

/**
 *   unregistered -- register --> registered -- heartbeat every interval, or when called for
 *        ^                          |
 *        +----- host_not_registered-+
 */
@Injectable()
export class HeartbeatService {
  readonly #stop = new AbortController();
  #loop: Promise<void> | null = null;
  #sequence = 0;
  #interval_ms: number | null = null;
  #answered = false;
  /** Why the last heartbeat was not answered. */
  #fault: string | null = null;

  constructor(
    private readonly exchange: SignedExchange,
    private readonly registration: RegistrationService,
    private readonly signal: HeartbeatSignal,
    private readonly allocations: AllocationsService,
    private readonly leases: LeaseKeeper,
    private readonly db: AgentDatabase,
    private readonly records: AllocationsRepository,
    private readonly facts: FactsRepository,
    private readonly identity: Identity,
    @Inject(HOST_ABILITY) private readonly ability: HostAbility,
    @Inject(HEARTBEAT_OPTIONS) private readonly options: HeartbeatOptions,
    @Inject(CLOCK) private readonly clock: Clock,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  /** Registers, then beats until `close`. Resolves once the host is registered; rejects when the signal aborts. */
  async start(signal: AbortSignal): Promise<void> {
    const either = AbortSignal.any([signal, this.#stop.signal]);
    this.#interval_ms = (await this.registration.register(either)).heartbeatIntervalMs;
    this.#loop = this.#run();
  }

  /** Ends the beating with one last heartbeat, so that the scheduler hears of what has just ended. */
  async last(): Promise<void> {
    await this.close();
    if (this.#interval_ms !== null) await this.#attempt();
  }

  /** Whether the last heartbeat was answered. */
  get isAnswered(): boolean {
    return this.#answered;
  }

  async close(): Promise<void> {
    this.#stop.abort();
    await this.#loop;
  }

  async #run(): Promise<void> {
    const stop = this.#stop.signal;
    try {
      while (!stop.aborted) {
        this.#interval_ms ??= (await this.registration.register(stop)).heartbeatIntervalMs;
        const sent_ms = this.clock.monotonicMs();
        await this.#attempt();
        await this.signal.wait(this.clock, this.#pause_ms(), stop);
        const early_ms = sent_ms + spacing_ms_min - this.clock.monotonicMs();
        if (early_ms > 0) await this.clock.sleep(early_ms, stop);
      }
    } catch (error) {
      if (!isAbort(error)) throw error;
    }
  }

  #pause_ms(): number {
    // Not registered: at once, registration has its own pauses.
    const interval_ms = this.#interval_ms ?? 0;
    return this.#answered && !this.leases.isWanted ? interval_ms : Math.min(interval_ms, pressing_ms);
  }

  async #attempt(): Promise<void> {
    try {
      await this.beat();
      if (this.#fault !== null) this.logger.info({ after: this.#fault }, 'heartbeats are answered again');
      this.#answered = true;
      this.#fault = null;
    } catch (error) {
      this.#answered = false;
      if (error instanceof ProblemError && error.code === 'host_not_registered') this.#interval_ms = null;
      this.#explain(error);
    }
  }

  /** Said once for each kind: without a scheduler there are two failures a second. */
  #explain(error: unknown): void {
    const fault = error instanceof ProblemError ? error.code : 'defect';
    if (fault === this.#fault) return;
    this.#fault = fault;
    if (error instanceof ProblemError) {
      this.logger.warn({ code: error.code, detail: error.detail }, 'heartbeats are not answered');
    } else {
      this.logger.error({ err: error }, 'heartbeat met a defect');
    }
  }

  /** One heartbeat and what follows from its answer. */
  async beat(): Promise<void> {
    // Read before anything is sent, or even gathered: the lease counts from here.
    const sentBoottimeMs = this.clock.boottimeMs();
    const heartbeat: Heartbeat = {
      host: this.identity.host,
      incarnation: this.identity.incarnation,
      sequence: (this.#sequence += 1),
      capacity: this.ability.capacity,
      allocations: this.allocations.observed(),
      ...this.#seen(),
    };
    const subject = subjects.heartbeat(this.identity.host);
    const answer = await this.exchange.ask(subject, heartbeat, HeartbeatAck, this.options.timeoutMs);
    checkAnswer(heartbeat, answer, this.#termSeen());
    this.#interval_ms = answer.heartbeatIntervalMs;
    await this.#remember(heartbeat, answer);
    await Promise.all(
      answer.leases.map(({ allocation, epoch, ttlMs: leaseTtlMs = answer.leaseTtlMs }) => {
        const granted = { sentBoottimeMs, leaseTtlMs, marginMs: this.options.leaseMarginMs };
        return this.#renew(allocation, epoch, leaseDeadlineMs(granted));
      }),
    );
    for (const allocation of answer.stop) this.#stopUnwanted(allocation);
  }

  #termSeen(): number {
    return Number(this.facts.get('term') ?? 0);
  }

  /** What a leader whose database has gone back to an older state must learn. */
  #seen(): Pick<Heartbeat, 'termSeen' | 'termProof'> {
    const termSeen = this.#termSeen();
    const termProof = this.facts.get('term-proof') ?? '';
    return { ...(termSeen === 0 ? {} : { termSeen }), ...(termProof === '' ? {} : { termProof }) };
  }

  /** The term is durable before anything is done on the word of its leader. */
  async #remember(sent: Heartbeat, answer: HeartbeatAck): Promise<void> {
    const reported = sent.allocations.filter((a) => !isLive(a.state)).map((a) => a.id);
    const proof = answer.termProof ?? '';
    const known = answer.term === this.#termSeen() && proof === (this.facts.get('term-proof') ?? '');
    if (known && reported.length === 0) return;
    try {
      await this.db.commit(() => {
        this.facts.set('term', String(answer.term));
        this.facts.set('term-proof', proof);
        this.records.markReported(reported);
      });
    } catch (error) {
      if (!known || !lacksRoom(error)) throw error;
      // They are reported again. No full disk keeps the leases of what runs from being renewed.
      this.logger.error({ err: error }, 'what was reported could not be written');
      return;
    }
    // Not all that ended had room: what was left out for long would be taken for lost.
    if (this.records.unreported(1).length > 0) this.signal.call();
  }

  async #renew(allocation: string, epoch: number, deadline_ms: number): Promise<void> {
    try {
      await this.leases.renew(allocation, epoch, deadline_ms);
    } catch (error) {
      // The old deadline holds, and ends the bot if this goes on.
      this.logger.error({ err: error, allocation }, 'lease could not be written');
    }
  }

  /** The scheduler has ended it, superseded it or never knew it; its account may be given away: no grace. */
  #stopUnwanted(allocation: string): void {
    const actor = 'service:scheduler';
    const detail = 'The scheduler no longer wants it here.';
    if (this.allocations.stop(allocation, { reason: 'stale-epoch', graceMs: 0, actor, detail })) {
      this.logger.warn({ allocation }, 'allocation is not wanted here');
    }
  }
}

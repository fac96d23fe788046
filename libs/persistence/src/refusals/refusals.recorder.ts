import { RefusalTally, type Clock } from '#libs/clock';
import {
  Actor,
  changesState,
  isApiName,
  Name,
  newId,
  refusalType,
  type EventData,
  type ProblemError,
} from '#libs/contracts';
import type { Logger } from '#libs/telemetry';
import type { NewEvent, Outbox } from '../outbox/outbox.js';
import type { OutboxRelay } from '../outbox/outbox.relay.js';
import type { TransactionRunner } from '../transaction.js';

/** Who asked, as far as that can be told. */
export interface Refused {
  readonly actor: string;
  readonly traceparent?: string | undefined;
  /** Of a request on a host's own subject: the host, which is who asked. */
  readonly hostToken?: string | undefined;
}

export interface RefusalsOptions {
  /** The service whose door it is. */
  readonly door: EventData<'tradefleet.request.refusals-suppressed'>['door'];
  /** Changes refused in a second that have an event each. What is beyond, and of reads a quarter of it, is counted. */
  readonly perSecond: number;
  readonly transactions: Pick<TransactionRunner, 'run'>;
  readonly outbox: Pick<Outbox, 'event'>;
  readonly relay: Pick<OutboxRelay, 'wake'>;
  readonly clock: Clock;
  readonly logger: Pick<Logger, 'warn' | 'error'>;
}

/** Not a decision about who asked, but a part of the platform that did not answer. */
const faults: readonly string[] = ['unavailable', 'timeout', 'internal'];
/** Refused before a handler saw it: the handlers of hosts' requests record what they refuse themselves. */
const unread: readonly string[] = ['malformed_json', 'invalid_request', 'payload_too_large'];
/** How often the number of those that were only counted is told. */
const report_ms = 60_000;
const detail_length_max = 1000;

/**
 * Puts refused requests into the log: each by an event, up to a rate, then by an event a minute with their number. Never
 * throws: what is refused has been answered already.
 */
export class RefusalsRecorder {
  private readonly tally: RefusalTally;
  private readonly stopping = new AbortController();
  private reporting: Promise<void> | null = null;

  constructor(private readonly options: RefusalsOptions) {
    this.tally = new RefusalTally(options.clock, options.perSecond);
  }

  /** Refusals that were counted and not told of yet. */
  get suppressedCount(): number {
    return this.tally.suppressed;
  }

  /** Records a refused request to the public API, and one of a host that does not fit its schema. */
  async request(operation: string, problem: ProblemError, refused: Refused): Promise<void> {
    if (!isApiName(operation)) {
      await this.message(operation, problem, refused);
      return;
    }
    const kind = changesState(operation) ? 'change' : 'read';
    if (kind === 'read' && faults.includes(problem.code)) return;
    await this.record(kind, problem.code, {
      type: refusalType(operation),
      id: newId(this.options.clock.wallMs()),
      data: { operation, code: problem.code, detail: problem.detail.slice(0, detail_length_max) },
      ...who(refused),
    });
  }

  /** Records any other refusal, by an event of its own kind. Faults are none. */
  async event(event: NewEvent, problem: ProblemError): Promise<void> {
    if (!faults.includes(problem.code))
      await this.record('change', problem.code, { ...event, ...who(event) });
  }

  private async message(subject: string, { code, detail }: ProblemError, refused: Refused): Promise<void> {
    const { hostToken: host, traceparent } = refused;
    if (!Name.safeParse(host).success || host === undefined || !unread.includes(code)) return;
    const verb = subject.slice(subject.lastIndexOf('.') + 1).slice(0, 32);
    await this.record('change', code, {
      type: 'tradefleet.message.rejected',
      id: host,
      data: { host, command: null, allocation: null, verb, code, detail: detail.slice(0, 300) },
      ...who({ actor: `host:${host}`, traceparent }),
    });
  }

  /** Tells how many were only counted, and counts on; call it before the outbox goes. */
  async stop(): Promise<void> {
    this.stopping.abort();
    await this.reporting;
    await this.report();
  }

  private async record(kind: 'change' | 'read', code: string, event: NewEvent): Promise<void> {
    if (this.tally.admit(kind, code, event.actor)) await this.write(event);
    else if (!this.stopping.signal.aborted)
      this.reporting ??= this.reportLater().finally(() => (this.reporting = null));
  }

  private async reportLater(): Promise<void> {
    try {
      await this.options.clock.sleep(report_ms, this.stopping.signal);
    } catch {
      return; // stopping, which reports itself
    }
    await this.report();
  }

  private async report(): Promise<void> {
    const { door, logger } = this.options;
    const suppressed = this.tally.take();
    if (suppressed === null) return;
    logger.warn({ ...suppressed }, 'refusals were not recorded one by one: there were too many');
    const told = await this.write({
      type: 'tradefleet.request.refusals-suppressed',
      id: door,
      data: { door, ...suppressed, askers: Math.max(1, suppressed.askers) },
      actor: `service:${door}`,
    });
    if (!told) this.tally.giveBack(suppressed);
  }

  private async write(event: NewEvent): Promise<boolean> {
    const { transactions, outbox, relay, logger } = this.options;
    try {
      await transactions.run(async (transaction) => await outbox.event(transaction, event));
      relay.wake();
      return true;
    } catch (error) {
      logger.error({ err: error, type: event.type }, 'a refusal was not recorded');
      return false;
    }
  }
}

/** A request may be refused for the very name its sender gave. */
const who = ({ actor, traceparent }: Refused) => ({
  actor: Actor.safeParse(actor).data ?? 'nats:anonymous',
  traceparent,
});

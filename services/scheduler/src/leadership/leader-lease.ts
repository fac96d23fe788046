import type { Clock } from '#libs/clock';
import type { Logger } from '#libs/telemetry';
import type { EntityManager } from 'typeorm';
import {
  leaderLeaseLeftMs,
  momentOf,
  takeoverWaitMs,
  type LeaderTerms,
  type Moment,
} from './leader-lease.rule.js';
import { isSameRow, nobody, type LeaderRow, type LeaderRowStore, type TakenOver } from './leader-row.js';
import { LeadershipLost, type Leadership, type Term } from './leadership.js';
import { checkTerm } from './leadership.repository.js';

export interface LeaderLeaseSettings extends LeaderTerms {
  readonly leaderRenewMs: number;
  /** T: of the leases this process gives when it leads. */
  readonly leaseTtlMs: number;
}

export interface LeaderLeaseOptions {
  readonly row: LeaderRowStore;
  /** Names this process in the row. */
  readonly holder: string;
  readonly settings: LeaderLeaseSettings;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Whether this process could do its work if it led; while it could not, another one should. */
  readonly isAble?: () => boolean;
}

/** A term of ours. */
interface Held {
  readonly term: Term;
  /** When the last renewal that was written was sent. */
  sent: Moment;
  renewal: number;
  /** Ends the loops of this term. */
  readonly over: AbortController;
}

/** The row as a candidate last found it, and when it first found it so: after the answer, monotonic. */
interface Watched {
  readonly row: LeaderRow;
  readonly since_ms: number;
}

/** How often the end of the lease is looked for: timers do not count the time a machine is suspended. */
const look_ms_max = 250;
/** How often a candidate looks at the row, in looks for each renewal. */
const looks_per_renewal = 4;

/**
 * Leads by a lease in the database, see `leader-lease.rule.ts`:
 *
 *   standby -- row given up, or unchanged for long enough: term + 1 by compare-and-set --> leading
 *   leading -- renewed every second --> leading
 *   leading -- not renewed in time, another leads, told so --> lost: the process ends
 *   leading -- resign: the row is given up --> standby
 *
 * `current` says nothing but what the clocks say, at the moment it is asked: a process that was stopped and goes on
 * finds that its lease is over before it has noticed anything else.
 */
export class LeaderLease implements Leadership {
  private held: Held | null = null;
  private readonly lostCallbacks: ((reason: string) => void)[] = [];
  private unable = false;

  constructor(private readonly options: LeaderLeaseOptions) {}

  async lead(signal: AbortSignal): Promise<Term> {
    const { clock, settings, logger, holder } = this.options;
    let watched: Watched | null = null;
    let failures = 0;
    for (;;) {
      signal.throwIfAborted();
      try {
        watched = await this.look(watched);
        const taken = this.mayTakeOver(watched) ? await this.takeOver(watched) : null;
        if (taken !== null) return taken;
        failures = 0;
      } catch (error) {
        signal.throwIfAborted();
        // What was watched stays watched: an equal row later was never renewed in between.
        if (failures % 20 === 0)
          logger.warn({ err: error, holder }, 'could not look who leads, trying again');
        failures += 1;
      }
      await clock.sleep(settings.leaderRenewMs / looks_per_renewal, signal);
    }
  }

  current(): Term | null {
    const { held } = this;
    if (held === null) return null;
    if (this.left_ms(held) > 0) return held.term;
    this.lose('the lease of the leader was not renewed in time');
    return null;
  }

  async guard(tx: EntityManager): Promise<void> {
    const term = this.current();
    if (term === null) throw new LeadershipLost('This process does not lead.');
    const renewal = this.held?.renewal ?? 0;
    const found = await checkTerm(tx, term.term, this.options.holder);
    if (found === null) {
      this.lose('another scheduler has taken over');
      throw new LeadershipLost(`Another scheduler has taken over term ${term.term}.`);
    }
    // Renewals only grow. The next one finds the same, and says so to whoever leads next.
    if (found < renewal) throw new LeadershipLost('An older state of the database has come back.');
    if (this.current()?.term !== term.term) throw new LeadershipLost('The lease of the leader has ended.');
  }

  onLost(callback: (reason: string) => void): void {
    this.lostCallbacks.push(callback);
  }

  lose(reason: string): void {
    if (this.held === null) return;
    this.held.over.abort();
    this.held = null;
    for (const callback of this.lostCallbacks.splice(0)) callback(reason);
  }

  async resign(): Promise<void> {
    const { row, holder, logger } = this.options;
    const { held } = this;
    this.held = null;
    held?.over.abort();
    try {
      if (held !== null) await row.release(held.term.term, holder);
    } catch (error) {
      logger.warn({ err: error }, 'the lead could not be given up in order: a standby waits for its end');
    }
    await row.close();
  }

  private async look(before: Watched | null): Promise<Watched> {
    const { row: store, clock, logger, holder } = this.options;
    const row = await store.read();
    // After the answer: what it shows was written before.
    const since_ms = clock.monotonicMs();
    if (before !== null && isSameRow(before.row, row)) return before;
    if (before?.row.term !== row.term && row.holder !== nobody)
      logger.info({ holder, leader: row.holder, term: row.term }, 'standing by: another scheduler leads');
    return { row, since_ms };
  }

  private mayTakeOver({ row, since_ms }: Watched): boolean {
    const { clock, settings, isAble = () => true, logger } = this.options;
    const due = row.holder === nobody || clock.monotonicMs() - since_ms >= takeoverWaitMs(settings);
    if (!due) return false;
    const unable = !isAble();
    if (unable && !this.unable) logger.warn({}, 'could take over, but could not do the work: NATS is away');
    this.unable = unable;
    return !unable;
  }

  private async takeOver({ row: seen, since_ms }: Watched): Promise<Term | null> {
    const { row, clock, settings, holder, logger } = this.options;
    const sent = momentOf(clock);
    const taken = await row.takeOver(seen, holder, settings.leaseTtlMs);
    if (taken === null) return null;
    const term: Term = {
      term: taken.term,
      // After the answer, so after every heartbeat that an earlier leader can have decided on was sent.
      sinceMonotonicMs: clock.monotonicMs(),
      afterRestore: taken.afterRestore,
      earlierLeaseTtlMs: taken.leaseTtlMs,
    };
    this.held = { term, sent, renewal: 0, over: new AbortController() };
    logger.info(
      {
        ...{ term: term.term, holder, after: seen.holder, afterRestore: taken.afterRestore },
        ...takeoverFigures(seen, taken, sent.monotonicMs - since_ms, takeoverWaitMs(settings)),
      },
      'leading',
    );
    const { held } = this;
    void this.renewing(held);
    void this.ending(held);
    // The answer may have taken longer than the lease.
    return this.current();
  }

  /** Until the term is over. Never rejects. */
  private async renewing(held: Held): Promise<void> {
    const { clock, settings, row, holder, logger } = this.options;
    const { signal } = held.over;
    let pause_ms = settings.leaderRenewMs;
    while (await this.pause(pause_ms, signal)) {
      const sent = momentOf(clock);
      let renewal: number | null;
      try {
        renewal = await row.renew(held.term.term, holder);
      } catch (error) {
        if (!signal.aborted)
          logger.warn({ err: error, left_ms: Math.round(this.left_ms(held)) }, 'leadership was not renewed');
        pause_ms = settings.leaderRenewMs / looks_per_renewal;
        continue;
      }
      pause_ms = settings.leaderRenewMs;
      // Also when the answer came too late: `current` has said no by then, or would have.
      if (this.held !== held || this.current() === null) return;
      if (renewal === null) this.lose('another scheduler has taken over');
      else if (renewal <= held.renewal) await this.goneBack(held);
      else Object.assign(held, { sent, renewal });
    }
  }

  /** The end of this term, and the next leader is to know why; should that fail, hosts tell it (`RestoreRecovery`). */
  private async goneBack(held: Held): Promise<void> {
    const { row, holder, logger } = this.options;
    this.lose('an older state of the database has come back');
    try {
      await row.restored(held.term.term, holder);
    } catch (error) {
      logger.error({ err: error }, 'that the database was restored could not be noted');
    }
  }

  /** Notices the end of the lease when nobody asks. Never rejects. */
  private async ending(held: Held): Promise<void> {
    while (this.held === held && this.current() !== null)
      await this.pause(Math.min(look_ms_max, Math.max(1, this.left_ms(held))), held.over.signal);
  }

  private left_ms(held: Held): number {
    return leaderLeaseLeftMs(this.options.settings, held.sent, momentOf(this.options.clock));
  }

  /** False when the signal ended it. */
  private async pause(ms: number, signal: AbortSignal): Promise<boolean> {
    try {
      await this.options.clock.sleep(ms, signal);
      return !signal.aborted;
    } catch (error) {
      if (signal.aborted) return false;
      throw error;
    }
  }
}

/** How long the takeover took, for the log: `watchedMs` is never below `ruleMs` unless the lead was given up. */
const takeoverFigures = (seen: LeaderRow, { unrenewedMs }: TakenOver, watched_ms: number, ruleMs: number) =>
  seen.holder === nobody
    ? { givenUp: true }
    : { givenUp: false, watchedMs: Math.round(watched_ms), ruleMs, unrenewedMs };

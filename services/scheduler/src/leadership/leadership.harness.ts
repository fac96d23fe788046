import { DataSource, type EntityManager } from 'typeorm';
import type { Clock } from '#libs/clock';
import { nobody, type LeaderRow, type LeaderRowStore, type TakenOver } from './leader-row.js';
import { LeadershipLost, type Leadership, type Term } from './leadership.js';
import { checkTerm } from './leadership.repository.js';

/**
 * Leads for as long as it is not told otherwise, under a real term that the real guard compares: for tests that turn
 * the clock by minutes and are about something else than the leader's own lease.
 */
export class SteadyLeadership implements Leadership {
  private term: Term | null = null;
  private readonly lostCallbacks: ((reason: string) => void)[] = [];

  constructor(
    private readonly dataSource: () => DataSource,
    private readonly clock: Clock,
    private readonly holder = 'steady',
    private readonly leaseTtlMs = 0,
  ) {}

  async lead(): Promise<Term> {
    const [row] = await this.dataSource().query<{ term: number; restored: boolean; lease_ttl_ms: number }[]>(
      `WITH taken AS (
         UPDATE scheduler.leadership SET term = term + 1, holder = $1, since = now(), lease_ttl_ms = greatest(lease_ttl_ms, $2)
         RETURNING term, holder, restored, lease_ttl_ms
       ), begun AS (INSERT INTO scheduler.terms (term, holder) SELECT term, holder FROM taken)
       SELECT * FROM taken`,
      [this.holder, this.leaseTtlMs],
    );
    if (row === undefined) throw new Error('There is no row of the leader.');
    this.term = {
      term: row.term,
      sinceMonotonicMs: this.clock.monotonicMs(),
      afterRestore: row.restored,
      earlierLeaseTtlMs: row.lease_ttl_ms,
    };
    return this.term;
  }

  current(): Term | null {
    return this.term;
  }

  async guard(tx: EntityManager): Promise<void> {
    if (this.term === null || (await checkTerm(tx, this.term.term, this.holder)) === null)
      throw new LeadershipLost('Another scheduler leads.');
  }

  onLost(callback: (reason: string) => void): void {
    this.lostCallbacks.push(callback);
  }

  lose(reason: string): void {
    this.term = null;
    for (const callback of this.lostCallbacks.splice(0)) callback(reason);
  }

  resign(): Promise<void> {
    this.term = null;
    return Promise.resolve();
  }
}

/**
 * The leader's row in memory, for many candidates and any fault: each call may be delayed on its way there and back,
 * or fail having taken effect or not.
 */
export class MemoryLeaderRow {
  row: LeaderRow = { term: 0, holder: nobody, renewal: 0 };
  restored = false;
  leaseTtlMs = 0;
  /** Terms in the order they were taken, with their holders. */
  readonly terms: { term: number; holder: string }[] = [];

  /** @param trip awaited before and after each call; throws for a call that fails */
  store(trip: (way: 'there' | 'back') => Promise<void> = () => Promise.resolve()): LeaderRowStore {
    const call = async <T>(work: () => T): Promise<T> => {
      await trip('there');
      const done = work();
      await trip('back');
      return done;
    };
    return {
      read: () => call(() => this.row),
      renew: (term, holder) => call(() => this.renew(term, holder)),
      takeOver: (seen, holder, leaseTtlMs) => call(() => this.takeOver(seen, holder, leaseTtlMs)),
      restored: (term, holder) =>
        call(() => {
          if (!this.isHeld(term, holder)) return;
          this.restored = true;
          this.row = { ...this.row, holder: nobody, renewal: this.row.renewal + 1 };
        }),
      release: (term, holder) =>
        call(() => {
          if (this.isHeld(term, holder))
            this.row = { ...this.row, holder: nobody, renewal: this.row.renewal + 1 };
        }),
      close: () => Promise.resolve(),
    };
  }

  private renew(term: number, holder: string): number | null {
    if (!this.isHeld(term, holder)) return null;
    this.row = { ...this.row, renewal: this.row.renewal + 1 };
    return this.row.renewal;
  }

  private takeOver(seen: LeaderRow, holder: string, leaseTtlMs: number): TakenOver | null {
    const { term, renewal } = this.row;
    if (!this.isHeld(seen.term, seen.holder) || renewal !== seen.renewal) return null;
    this.row = { term: term + 1, holder, renewal: 0 };
    this.terms.push({ term: term + 1, holder });
    this.leaseTtlMs = Math.max(this.leaseTtlMs, leaseTtlMs);
    return { term: term + 1, unrenewedMs: 0, afterRestore: this.restored, leaseTtlMs: this.leaseTtlMs };
  }

  private isHeld(term: number, holder: string): boolean {
    return this.row.term === term && this.row.holder === holder;
  }
}

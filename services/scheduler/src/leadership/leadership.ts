import type { EntityManager } from 'typeorm';

/** DI token of the process's `Leadership`. */
export const LEADERSHIP = Symbol('Leadership');

/** A time of leading. */
export interface Term {
  /** Grows with every taking over, from 1. */
  readonly term: number;
  /** When it began, on this process's monotonic clock: after every answer an earlier leader decided on. */
  readonly sinceMonotonicMs: number;
  /** An older state of the database has come back: bots may run that it knows nothing of, until their leases end. */
  readonly afterRestore?: boolean;
  /** Longest lease of the fleet that an earlier leader may have given, where it is longer than ours. */
  readonly earlierLeaseTtlMs?: number;
}

/**
 * At most one scheduler leads: answers heartbeats, reconciles, relays. How that is brought about is behind this
 * interface; everything that decides relies on the term in the database, which `guard` compares.
 */
export interface Leadership {
  /** Waits until this process leads; a standby may wait for ever. Rejects when the signal aborts. */
  lead(signal: AbortSignal): Promise<Term>;
  /**
   * The present term, or null when this process does not lead. Ask right before an answer leaves or a decision is
   * written, after the last thing that was waited for: a process does not notice that it was stopped.
   */
  current(): Term | null;
  /**
   * Throws `LeadershipLost` unless the database too says that this process leads, and keeps anyone from taking over
   * until the transaction has ended. Every write of the leader begins with it. READ COMMITTED is all it needs.
   */
  guard(tx: EntityManager): Promise<void>;
  /** Calls back once, when leading has ended for any reason but `resign`. The process must then end at once. */
  onLost(callback: (reason: string) => void): void;
  /** Gives up at once, as if leading had been lost: something says that it must not go on. */
  lose(reason: string): void;
  /** Lets a standby take over at once. Nothing may be answered or written any more. */
  resign(): Promise<void>;
}

/** This process does not lead (any more). Nothing it was about to do may be done. */
export class LeadershipLost extends Error {
  override readonly name = 'LeadershipLost';
}

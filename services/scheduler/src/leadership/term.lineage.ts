/** What a leader tells hosts of its term: who leads in it, and how often epochs were given out. */
export interface TermMark {
  readonly term: number;
  /** Left out by schedulers that did not tell yet. */
  readonly holder?: string | undefined;
  readonly placements?: number | undefined;
}

/** What the database has of the terms, read in one statement with what is answered. */
export interface TermLineage {
  /** The present one. */
  readonly mark: Required<TermMark>;
  /** Terms up to here are accounted for: a restore that lost them was noticed. */
  readonly forgottenTerm: number;
  /** Of the term that a host shows; null when there is none (any more). */
  readonly shown: { readonly holder: string; readonly placements: number } | null;
}

/** Rows of terms that are kept: years of them. */
export const terms_kept = 10_000;
/** More than the allocations an account can have had between a backup and its use. */
export const epochs_skipped = 100_000;

/**
 * Whether the database has been in the state that the mark is from. Marks are read with what they are told with, and a
 * term only ever counts up, so one that the database does not have comes from a state that a restore took back. Holders
 * make up a name at their start: the same term led again after a restore has another one. Pure.
 */
export function isOfLineage(shown: TermMark, lineage: TermLineage): boolean {
  const { mark, forgottenTerm } = lineage;
  if (shown.term > mark.term) return false;
  if (shown.term <= forgottenTerm || shown.term < mark.term - terms_kept) return true;
  if (shown.holder === undefined || shown.placements === undefined) return true;
  return lineage.shown?.holder === shown.holder && lineage.shown.placements >= shown.placements;
}

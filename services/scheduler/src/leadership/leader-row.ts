/** Nobody leads: given up in order, or never led. */
export const nobody = 'nobody';

/** Who leads, as it stands in the database. Two looks that find the same had no renewal in between. */
export interface LeaderRow {
  readonly term: number;
  readonly holder: string;
  /** Grows with every renewal of a term. */
  readonly renewal: number;
}

export interface TakenOver {
  readonly term: number;
  /** How long the leader before had not renewed, by the clock of the database, milliseconds; for people. */
  readonly unrenewedMs: number;
  /** An older state of the database has come back since somebody led last. */
  readonly afterRestore: boolean;
  /** Longest lease of this or an earlier leader that may not be over. */
  readonly leaseTtlMs: number;
}

/**
 * The one row that decides who leads. Every call is bounded in time and may fail at any moment, having taken effect or
 * not: nobody may conclude anything from a failure.
 */
export interface LeaderRowStore {
  read(): Promise<LeaderRow>;
  /**
   * Takes the next term if the row still is what was seen, once no transaction of the leader before is open.
   * @param leaseTtlMs that this leader gives
   */
  takeOver(seen: LeaderRow, holder: string, leaseTtlMs: number): Promise<TakenOver | null>;
  /** Counts a renewal; gives the count, or null when another leads. */
  renew(term: number, holder: string): Promise<number | null>;
  /** An older state has come back under this leader: nobody leads, whoever is next knows, and no epoch is used again. */
  restored(term: number, holder: string): Promise<void>;
  /** Leaves the term to whoever comes first. Does nothing when another leads. */
  release(term: number, holder: string): Promise<void>;
  close(): Promise<void>;
}

export const isSameRow = (a: LeaderRow, b: LeaderRow): boolean =>
  a.term === b.term && a.holder === b.holder && a.renewal === b.renewal;

/** The last part of a holder is made up at the start of its process: its sessions in the database carry it. */
export const sessionName = (holder: string): string => `tradefleet-scheduler/${holder.split('/').at(-1)}`;

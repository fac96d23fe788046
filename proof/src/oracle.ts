/** One life of an instance, in true time: from when it could act. */
export interface Life {
  readonly account: string;
  readonly epoch: number;
  readonly allocation: string;
  readonly host: string;
  readonly from_ms: number;
  /** Since when it can act no more; infinite as long as it can. */
  until_ms: number;
}

/** The older epoch first. */
export type Overlap = readonly [Life, Life];

/** What a broker would have seen, had it known the true time: who could act for which account, and when. */
export class Oracle {
  readonly lives: Life[] = [];

  begin(life: Omit<Life, 'until_ms'>): Life {
    const begun: Life = { ...life, until_ms: Infinity };
    this.lives.push(begun);
    return begun;
  }

  /**
   * Pairs of instances of one account of which the older could act, or its last order was on its way, when the newer one
   * could act already.
   * @param reach_ms how long an order of that instance may be on its way
   */
  overlaps(reach_ms: (older: Life) => number): Overlap[] {
    return this.lives.flatMap((newer) =>
      this.lives
        .filter((older) => isBefore(older, newer) && older.until_ms > older.from_ms)
        .filter((older) => older.until_ms + reach_ms(older) > newer.from_ms && newer.until_ms > newer.from_ms)
        .map((older): Overlap => [older, newer]),
    );
  }
}

const isBefore = (older: Life, newer: Life): boolean =>
  older.account === newer.account &&
  older !== newer &&
  (older.epoch === newer.epoch ? older.from_ms < newer.from_ms : older.epoch < newer.epoch);

/** An overlap as a person wants to read it. */
export const overlapText = ([older, newer]: Overlap): string =>
  `account ${older.account}: epoch ${older.epoch} on ${older.host} could act until ${older.until_ms.toFixed(0)} ms, ` +
  `epoch ${newer.epoch} on ${newer.host} from ${newer.from_ms.toFixed(0)} ms`;

/** Events of one start of one producer. */
export interface Entry {
  readonly source: string;
  readonly incarnation: string;
  /** The highest number. */
  readonly last: number;
  readonly events: number;
}

export interface Balance {
  readonly recorded: number;
  readonly audited: number;
  /** Of those audited: by producers that keep no record of their own, so that only gaps in their numbers would show. */
  readonly unrecorded: number;
  /** Not yet with the broker. */
  readonly unpublished: number;
  readonly quarantined: number;
  /** Sentences; empty when everything recorded was audited, once. */
  readonly faults: readonly string[];
}

/** Puts what was recorded next to what was audited. */
export function balanceOf(
  recorded: readonly Entry[],
  audited: readonly (Entry & { readonly distinct: number })[],
  more: { readonly unpublished: number; readonly missing: readonly string[]; readonly quarantined: number },
): Balance {
  const faults: string[] = [];
  const key = ({ source, incarnation }: Entry): string => `${source} ${incarnation}`;
  const found = new Map(audited.map((entry) => [key(entry), entry]));
  for (const entry of recorded) {
    const there = found.get(key(entry));
    if ((there?.events ?? 0) !== entry.events)
      faults.push(`${key(entry)}: ${entry.events} recorded, ${there?.events ?? 0} audited`);
    found.delete(key(entry));
  }
  for (const { source, incarnation, events, distinct, last } of audited) {
    if (distinct !== events) faults.push(`${source} ${incarnation}: ${events - distinct} numbers used twice`);
    if (distinct !== last)
      faults.push(`${source} ${incarnation}: ${last - distinct} of ${last} numbers are missing`);
  }
  const others = [...found.values()];
  for (const entry of others)
    if (entry.source.startsWith('/agent/'))
      faults.push(`${key(entry)}: audited, and its agent does not know of it`);
  faults.push(...more.missing.map((id) => `never audited: ${id}`));
  if (more.quarantined > 0) faults.push(`${more.quarantined} messages were no events`);
  if (more.unpublished > 0) faults.push(`${more.unpublished} events are not published`);
  const sum = (list: readonly Entry[]): number => list.reduce((total, { events }) => total + events, 0);
  return {
    recorded: sum(recorded),
    audited: sum(audited),
    unrecorded: sum(others),
    unpublished: more.unpublished,
    quarantined: more.quarantined,
    faults,
  };
}

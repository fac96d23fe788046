import type { NumberedEvent } from './producers/event.producer.js';

/** What a producer wrote. */
export interface Written {
  readonly source: string;
  readonly events: readonly NumberedEvent[];
}

/** What the log holds of it. */
export interface Logged {
  readonly source: string;
  readonly events: readonly NumberedEvent[];
}

export interface LogBalance {
  readonly source: string;
  readonly written: number;
  readonly recorded: number;
  /** In the log more than once. */
  readonly duplicates: number;
  readonly incarnations: number;
  /** Sentences, the first few of a kind; empty when every event is there, once, under its number. */
  readonly faults: readonly string[];
}

const shown_max = 5;

/** Holds what the log has of a producer against what the producer knows it has written, one by one. */
export function logBalance(source: string, written: Written['events'], logged: Logged['events']): LogBalance {
  const found = new Map<string, NumberedEvent>();
  const twice: string[] = [];
  for (const event of logged) {
    if (found.has(event.id)) twice.push(event.id);
    found.set(event.id, event);
  }
  const missing: string[] = [];
  const otherNumber: string[] = [];
  for (const event of written) {
    const there = found.get(event.id);
    if (there === undefined) missing.push(event.id);
    else if (there.incarnation !== event.incarnation || there.sequence !== event.sequence)
      otherNumber.push(`${event.id} was written as ${event.sequence} and recorded as ${there.sequence}`);
    found.delete(event.id);
  }
  const recorded = logged.length;
  return {
    ...{ source, written: written.length, recorded, duplicates: twice.length },
    incarnations: new Set(logged.map(({ incarnation }) => incarnation)).size,
    faults: [
      ...some(missing, 'never recorded'),
      ...some(twice, 'recorded twice'),
      ...some([...found.keys()], 'recorded and never written'),
      ...some(otherNumber, 'under another number'),
      ...holesOf(logged),
    ].map((fault) => `${source}: ${fault}`),
  };
}

/** Numbers that are missing in the log below the highest one, by incarnation. */
function holesOf(logged: Logged['events']): string[] {
  const numbers = new Map<string, Set<number>>();
  for (const { incarnation, sequence } of logged) {
    const there = numbers.get(incarnation) ?? new Set<number>();
    numbers.set(incarnation, there.add(sequence));
  }
  return [...numbers].flatMap(([incarnation, there]) => {
    const highest = [...there].reduce((a, b) => Math.max(a, b), 0);
    const missing = highest - there.size;
    return missing === 0 ? [] : [`${missing} of ${highest} numbers of ${incarnation} are missing`];
  });
}

function some(list: readonly string[], what: string): string[] {
  if (list.length === 0) return [];
  const more = list.length > shown_max ? ', ...' : '';
  return [`${list.length} ${what}: ${list.slice(0, shown_max).join(', ')}${more}`];
}

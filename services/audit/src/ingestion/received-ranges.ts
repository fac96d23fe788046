import type { ProducerPlace } from './recorded-event.js';

/** Sequences of one incarnation that are settled by a commit. */
export interface ReceivedRanges {
  readonly source: string;
  readonly incarnation: string;
  /** First and last, both included; ascending, none next to another. */
  readonly ranges: readonly (readonly [from: number, to: number])[];
}

/** One entry for each incarnation, in a fixed order, so that two transactions take their rows the same way round. */
export function receivedRanges(places: Iterable<ProducerPlace>): ReceivedRanges[] {
  const bySource = new Map<string, Map<string, number[]>>();
  for (const { source, incarnation, sequence } of places) {
    const incarnations = of(bySource, source, () => new Map<string, number[]>());
    of(incarnations, incarnation, (): number[] => []).push(sequence);
  }
  return inOrder(bySource).flatMap(([source, incarnations]) =>
    inOrder(incarnations).map(([incarnation, sequences]) => ({
      ...{ source, incarnation, ranges: rangesOf(sequences) },
    })),
  );
}

function rangesOf(sequences: readonly number[]): (readonly [from: number, to: number])[] {
  const ranges: [from: number, to: number][] = [];
  for (const sequence of sequences.toSorted((one, other) => one - other)) {
    const last = ranges.at(-1);
    if (last !== undefined && sequence <= last[1] + 1) last[1] = sequence;
    else ranges.push([sequence, sequence]);
  }
  return ranges;
}

function of<V>(map: Map<string, V>, key: string, make: () => V): V {
  const found = map.get(key);
  if (found !== undefined) return found;
  const made = make();
  map.set(key, made);
  return made;
}

const inOrder = <V>(map: ReadonlyMap<string, V>): [string, V][] =>
  [...map].sort(([one], [other]) => (one < other ? -1 : 1));

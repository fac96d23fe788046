import type { ProducerPlace } from './recorded-event.js';

/** Sequences of one incarnation that are settled by a commit. */
export interface ReceivedRanges {
  readonly source: string;
  readonly incarnation: string;
  /** First and last, both included; ascending, none next to another. */
  readonly ranges: readonly (readonly [from: number, to: number])[];
}

/** One entry for each incarnation, in a fixed order, so that two transactions take their rows the same way round. */
export function receivedRanges(places: readonly ProducerPlace[]): ReceivedRanges[] {
  const sorted = places.toSorted((one, other) => compare(one, other) || one.sequence - other.sequence);
  const received: { source: string; incarnation: string; ranges: [from: number, to: number][] }[] = [];
  for (const { source, incarnation, sequence } of sorted) {
    const producer = received.at(-1);
    const last = producer?.ranges.at(-1);
    if (producer?.source !== source || producer.incarnation !== incarnation)
      received.push({ source, incarnation, ranges: [[sequence, sequence]] });
    else if (last !== undefined && sequence <= last[1] + 1) last[1] = sequence;
    else producer.ranges.push([sequence, sequence]);
  }
  return received;
}

function compare(one: ProducerPlace, other: ProducerPlace): number {
  if (one.source !== other.source) return one.source < other.source ? -1 : 1;
  if (one.incarnation !== other.incarnation) return one.incarnation < other.incarnation ? -1 : 1;
  return 0;
}

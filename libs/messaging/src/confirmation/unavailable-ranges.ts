import { watermarkLimits, type SequenceRange } from '#libs/contracts';

/** What was asked for again and is no longer there, told with every request until the watermark has passed it. */
export class UnavailableRanges {
  private readonly byIncarnation = new Map<string, SequenceRange[]>();

  /** The lowest first, as many as a request takes; of those beyond the answer will ask again. */
  of(incarnation: string): SequenceRange[] {
    return this.byIncarnation.get(incarnation) ?? [];
  }

  add(incarnation: string, ranges: readonly SequenceRange[]): void {
    if (ranges.length === 0) return;
    const all = joined([...this.of(incarnation), ...ranges]);
    this.byIncarnation.set(incarnation, all.slice(0, watermarkLimits.ranges_max));
  }

  /** Everything up to this sequence is settled. */
  passed(incarnation: string, upTo: number): void {
    const left = this.of(incarnation)
      .filter(([, to]) => to > upTo)
      .map(([from, to]): SequenceRange => [Math.max(from, upTo + 1), to]);
    if (left.length === 0) this.byIncarnation.delete(incarnation);
    else this.byIncarnation.set(incarnation, left);
  }

  /** Of others nothing is kept any more. */
  keepOnly(incarnations: readonly string[]): void {
    const kept = new Set(incarnations);
    for (const incarnation of this.byIncarnation.keys())
      if (!kept.has(incarnation)) this.byIncarnation.delete(incarnation);
  }
}

/** Ranges in their order, those that touch or overlap as one. */
export function joined(ranges: readonly SequenceRange[]): SequenceRange[] {
  const out: SequenceRange[] = [];
  for (const [from, to] of ranges.toSorted(([a], [b]) => a - b)) {
    const before = out.at(-1);
    if (before !== undefined && from <= before[1] + 1) before[1] = Math.max(before[1], to);
    else out.push([from, to]);
  }
  return out;
}

/** Of the ranges, what is not among the sequences, which stand in ascending order. */
export function without(ranges: readonly SequenceRange[], sequences: readonly number[]): SequenceRange[] {
  const out: SequenceRange[] = [];
  let at = 0;
  for (const [from, to] of joined(ranges)) {
    let next = from;
    for (; (sequences[at] ?? Number.POSITIVE_INFINITY) <= to; at += 1) {
      const sequence = sequences[at] ?? next;
      if (sequence < next) continue;
      if (sequence > next) out.push([next, sequence - 1]);
      next = sequence + 1;
    }
    if (next <= to) out.push([next, to]);
  }
  return out;
}

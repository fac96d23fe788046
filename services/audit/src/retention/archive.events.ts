import type { Archive, PartitionArchivedEventData } from '#libs/contracts';

/** First and last position, both included. */
export type ToldRange = [number, number];

/** Positions in ascending order, as ranges. */
export class Ranges {
  readonly all: ToldRange[] = [];

  add(position: number): void {
    const last = this.all.at(-1);
    if (last?.[1] === position - 1) last[1] = position;
    else this.all.push([position, position]);
  }
}

/** What the log tells of an archive: as many events as its ranges need. */
export function archiveEvents(
  { id, class: name, month, records, first, last, bytes, sha256, checkpointSize }: Archive,
  ranges: readonly ToldRange[],
  ranges_max: number,
  origin: string,
  sign: (told: Omit<PartitionArchivedEventData, 'statement'>) => string,
): PartitionArchivedEventData[] {
  const parts = Math.ceil(ranges.length / ranges_max);
  return Array.from({ length: parts }, (_, index) => {
    const told = {
      ...{ archive: id, origin, class: name, month, records, first, last, bytes, sha256, checkpointSize },
      ...{ part: index + 1, parts },
      ranges: ranges.slice(index * ranges_max, (index + 1) * ranges_max),
    };
    return { ...told, statement: sign(told) };
  });
}

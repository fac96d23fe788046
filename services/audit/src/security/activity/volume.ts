import type { UnusualActivitySettings } from './activity.settings.js';

/** An hour of one producer, and its hours before. */
export interface VolumeHour {
  /** In this hour so far. */
  readonly events: number;
  /** Of earlier hours those with events, the last seven days. */
  readonly before: readonly number[];
  /** Hours since its first one of these, quiet ones too. */
  readonly hoursKnown: number;
}

/** From how many on its events in the hour are unusual; null while too little is known of it. */
export function volumeThreshold(
  { before, hoursKnown }: Omit<VolumeHour, 'events'>,
  { eventsMin, factor, hoursMin }: UnusualActivitySettings['volume'],
): number | null {
  if (hoursKnown < hoursMin) return null;
  return Math.max(eventsMin, factor * medianWithQuiet(before, hoursKnown));
}

/** The median over all hours; those that have no count had no events. */
export function medianWithQuiet(counts: readonly number[], hours: number): number {
  const quietHours = Math.max(0, hours - counts.length);
  const sorted = counts.toSorted((a, b) => a - b);
  const at = (index: number): number => (index < quietHours ? 0 : (sorted[index - quietHours] ?? 0));
  const total = quietHours + sorted.length;
  if (total === 0) return 0;
  const middle = Math.floor(total / 2);
  return total % 2 === 1 ? at(middle) : (at(middle - 1) + at(middle)) / 2;
}

import { Injectable } from '@nestjs/common';
import type { ProducerPlace } from '../ingestion/recorded-event.js';
import { ProducerHeightRepository } from './producer-height.repository.js';

/** Producers remembered at a time; the one not heard of longest goes first. */
const producers_max = 16_384;
/** Numbers an incarnation may leave out at once. */
export const ahead_max = 1_000_000;

/**
 * The highest number of each incarnation, to tell one that is far off. The first number of an incarnation may be any: a
 * new audit database begins in the middle of those that live.
 */
@Injectable()
export class SequenceHeights {
  private readonly heights = new Map<string, number>();

  constructor(private readonly repository: ProducerHeightRepository) {}

  /**
   * Whether each is too far above what is known, in their order: what is not raises the height for those that follow.
   * Only places whose signature was good may come here.
   */
  async areFarOff(places: readonly ProducerPlace[]): Promise<boolean[]> {
    await this.read(places.filter((place) => this.isAbove(place)));
    return places.map((place) => {
      if (this.isAbove(place) && this.heights.has(keyOf(place))) return true;
      this.keep(keyOf(place), Math.max(place.sequence, this.heights.get(keyOf(place)) ?? 0));
      return false;
    });
  }

  /** Also when nothing is known: then it may be the database that knows. */
  private isAbove(place: ProducerPlace): boolean {
    const height = this.heights.get(keyOf(place));
    return height === undefined || place.sequence > height + ahead_max;
  }

  private async read(places: readonly ProducerPlace[]): Promise<void> {
    if (places.length === 0) return;
    const producers = [...new Map(places.map((place) => [keyOf(place), place])).values()];
    for (const { source, incarnation, highest } of await this.repository.highest(producers)) {
      const key = keyOf({ source, incarnation });
      this.keep(key, Math.max(highest, this.heights.get(key) ?? 0));
    }
  }

  private keep(key: string, height: number): void {
    this.heights.delete(key);
    this.heights.set(key, height);
    const oldest = this.heights.keys().next().value;
    if (this.heights.size > producers_max && oldest !== undefined) this.heights.delete(oldest);
  }
}

const keyOf = ({ source, incarnation }: Pick<ProducerPlace, 'source' | 'incarnation'>): string =>
  `${source} ${incarnation}`;

import { Injectable } from '@nestjs/common';
import type { ProducerPlace } from '../ingestion/recorded-event.js';
import { ProducerHeightRepository, type KnownHeight } from './producer-height.repository.js';

/** Producers remembered at a time; the one not heard of longest goes first. */
const producers_max = 16_384;
/** Numbers an incarnation may leave out at once. */
export const ahead_max = 1_000_000;
/** Ranges that the numbers of an incarnation may be in: every commit writes them all. */
const ranges_max = 10_000;
/** Of an incarnation with more of them only what is next is taken: by that they become fewer. */
const next_max = 4096;
/** The ranges are looked at again after so many numbers that did not follow the one before. */
const skips_max = 1000;

interface Height {
  /** The highest number so far. */
  height: number;
  skips: number;
  /** The highest number that is taken; null: a million above `height`. */
  readonly last: number | null;
}

/**
 * What numbers each incarnation has used, to tell one that is far off. The first number of an incarnation may be any: a
 * new audit database begins in the middle of those that live.
 */
@Injectable()
export class SequenceHeights {
  private readonly heights = new Map<string, Height>();

  constructor(private readonly repository: ProducerHeightRepository) {}

  /**
   * Whether each is too far from what is known, in their order: what is not raises the height for those that follow.
   * Only places whose signature was good may come here.
   */
  async areFarOff(places: readonly ProducerPlace[]): Promise<boolean[]> {
    await this.read(places.filter((place) => this.isDoubtful(place)));
    return places.map((place) => {
      const key = keyOf(place);
      const known = this.heights.get(key) ?? { height: 0, skips: 0, last: Infinity };
      if (isBeyond(place.sequence, known)) return true;
      const isNext = place.sequence === known.height + 1;
      this.keep(key, {
        height: Math.max(place.sequence, known.height),
        skips: known.skips + (isNext ? 0 : 1),
        last: known.last === Infinity ? null : known.last,
      });
      return false;
    });
  }

  /** What is known here may be too old to say. */
  private isDoubtful(place: ProducerPlace): boolean {
    const known = this.heights.get(keyOf(place));
    return known === undefined || known.skips >= skips_max || isBeyond(place.sequence, known);
  }

  private async read(places: readonly ProducerPlace[]): Promise<void> {
    if (places.length === 0) return;
    const producers = [...new Map(places.map((place) => [keyOf(place), place])).values()];
    for (const known of await this.repository.heights(producers)) this.learn(known);
  }

  private learn({ source, incarnation, upTo, highest, ranges }: KnownHeight): void {
    const key = keyOf({ source, incarnation });
    const height = Math.max(highest, this.heights.get(key)?.height ?? 0);
    this.keep(key, { height, skips: 0, last: ranges > ranges_max ? upTo + next_max : null });
  }

  private keep(key: string, height: Height): void {
    this.heights.delete(key);
    this.heights.set(key, height);
    const oldest = this.heights.keys().next().value;
    if (this.heights.size > producers_max && oldest !== undefined) this.heights.delete(oldest);
  }
}

const isBeyond = (sequence: number, { height, last }: Height): boolean =>
  sequence > (last ?? height + ahead_max);

const keyOf = ({ source, incarnation }: Pick<ProducerPlace, 'source' | 'incarnation'>): string =>
  `${source} ${incarnation}`;

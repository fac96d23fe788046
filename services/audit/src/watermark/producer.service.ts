import {
  EventAttributes,
  Id,
  type GapList,
  type GapPage,
  type ProducerList,
  type ProducerPage,
} from '#libs/contracts';
import { Injectable } from '@nestjs/common';
import { z } from 'zod';
import { decodePlace, encodePlace } from '../query/place.js';
import { ProducerRepository, type GapListRow, type ProducerRow } from './producer.repository.js';
import { firstOf, highestOf, parseMultirange, upToOf, without } from './ranges.js';

const missing_ranges_max = 32;
const ProducerPlace = z.strictObject({ source: EventAttributes.shape.source, incarnation: Id });
const GapPlace = z.strictObject({ foundAt: z.iso.datetime(), id: Id });

/** Tells what is known of producers and of their gaps. */
@Injectable()
export class ProducerService {
  constructor(private readonly repository: ProducerRepository) {}

  async list({ limit, after, ...filters }: ProducerList): Promise<ProducerPage> {
    const place = after === undefined ? null : decodePlace(ProducerPlace, after);
    const rows = await this.repository.list(filters, place, limit + 1);
    const page = rows.slice(0, limit);
    const last = page.at(-1);
    const isEnd = last === undefined || page.length === rows.length;
    const next = isEnd ? null : encodePlace({ source: last.source, incarnation: last.incarnation });
    return { producers: page.map(toProducer), next };
  }

  async gaps({ limit, after, ...filters }: GapList): Promise<GapPage> {
    const place = after === undefined ? null : decodePlace(GapPlace, after);
    const rows = await this.repository.gaps(filters, place, limit + 1);
    const page = rows.slice(0, limit);
    const last = page.at(-1);
    const isEnd = last === undefined || page.length === rows.length;
    const next = isEnd ? null : encodePlace({ foundAt: last.found_at.toISOString(), id: last.id });
    return { gaps: page.map(toGap), next };
  }
}

function toProducer({ source, incarnation, received, first_seen_at, changed_at }: ProducerRow) {
  const ranges = parseMultirange(received);
  const [upTo, highest] = [upToOf(ranges), highestOf(ranges)];
  const missing = highest > upTo ? without([[upTo + 1, highest]], ranges) : [];
  return {
    ...{ source, incarnation, upTo, highest },
    missing: firstOf(missing, missing_ranges_max, Number.MAX_SAFE_INTEGER),
    firstSeenAt: first_seen_at.toISOString(),
    changedAt: changed_at.toISOString(),
  };
}

const toGap = ({
  id,
  source,
  incarnation,
  first,
  last,
  state,
  lost,
  detail,
  found_at,
  closed_at,
}: GapListRow) => ({
  ...{ id, source, incarnation, first: Number(first), last: Number(last), state, lost: Number(lost), detail },
  foundAt: found_at.toISOString(),
  closedAt: closed_at?.toISOString() ?? null,
});

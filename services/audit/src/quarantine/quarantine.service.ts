import { QuarantineCode, type QuarantineList, type QuarantinePage } from '#libs/contracts';
import { Injectable } from '@nestjs/common';
import { z } from 'zod';
import { decodePlace, encodePlace } from '../query/place.js';
import { QuarantineRepository, type PlacedQuarantineRow } from './quarantine.repository.js';

const Place = z.strictObject({
  micros: z.string().regex(/^\d{1,18}$/),
  digest: z.string().regex(/^[0-9a-f]{64}$/),
});

@Injectable()
export class QuarantineService {
  constructor(private readonly repository: QuarantineRepository) {}

  async list({ limit, after, ...filters }: QuarantineList): Promise<QuarantinePage> {
    const place = after === undefined ? null : decodePlace(Place, after);
    const rows = await this.repository.list(filters, place, limit + 1);
    const page = rows.slice(0, limit);
    const last = page.at(-1);
    const isEnd = last === undefined || page.length === rows.length;
    return {
      messages: page.map(toView),
      next: isEnd ? null : encodePlace({ micros: last.micros, digest: last.digest }),
    };
  }
}

const toView = ({ digest, subject, code, reason, source, recorded_at }: PlacedQuarantineRow) => ({
  ...{ digest, subject, code: QuarantineCode.parse(code), reason, source },
  recordedAt: recorded_at.toISOString(),
});

import { CLOCK, type Clock } from '#libs/clock';
import {
  newId,
  type Hold,
  type HoldList,
  type HoldPage,
  type HoldPlace,
  type HoldRelease,
} from '#libs/contracts';
import { Outbox, OutboxRelay, TransactionRunner } from '#libs/persistence';
import { Inject, Injectable } from '@nestjs/common';
import { z } from 'zod';
import { refusal } from '../errors.js';
import { SubjectRepository } from '../privacy/subject.repository.js';
import type { Asker } from '../privacy/subjects.service.js';
import { decodePlace, encodePlace } from '../query/place.js';
import { HoldRepository } from './hold.repository.js';

const Place = z.strictObject({ id: z.uuid() });

/** What must not be dropped or erased, whoever asks for it. */
@Injectable()
export class HoldsService {
  constructor(
    private readonly holds: HoldRepository,
    private readonly subjects: SubjectRepository,
    private readonly transactions: TransactionRunner,
    private readonly outbox: Outbox,
    private readonly relay: OutboxRelay,
    @Inject(CLOCK) private readonly clock: Clock,
  ) {}

  /** Throws `subject_not_found` for a person that has no key: there is nothing to hold any more. */
  async place(
    { reason, class: of, from, to, subject }: HoldPlace,
    { actor, traceparent }: Asker,
  ): Promise<Hold> {
    if (subject !== undefined && (await this.subjects.byIds([subject])).length === 0)
      throw refusal.subjectNotFound();
    const wall_ms = this.clock.wallMs();
    const scope = { class: of ?? null, from: from ?? null, to: to ?? null, subject: subject ?? null };
    const hold: Hold = {
      ...{ id: newId(wall_ms), ...scope, reason, placedAt: new Date(wall_ms).toISOString() },
      ...{ releasedAt: null, releaseReason: null },
    };
    await this.transactions.run(async (manager) => {
      await this.holds.place(manager, hold);
      const data = { hold: hold.id, ...scope, reason };
      const type = 'tradefleet.audit.hold-placed';
      await this.outbox.event(manager, { type, id: hold.id, data, actor, traceparent });
    });
    this.relay.wake();
    return hold;
  }

  /** Throws `hold_not_found`, `invalid_transition`. */
  async release({ id, reason }: HoldRelease, { actor, traceparent }: Asker): Promise<Hold> {
    const released = await this.transactions.run(async (manager) => {
      if ((await this.holds.find(manager, id)) === null) throw refusal.holdNotFound();
      const now = new Date(this.clock.wallMs()).toISOString();
      if (!(await this.holds.release(manager, id, reason, now))) throw refusal.holdReleased();
      const type = 'tradefleet.audit.hold-released';
      await this.outbox.event(manager, { type, id, data: { hold: id, reason }, actor, traceparent });
      return await this.holds.find(manager, id);
    });
    this.relay.wake();
    if (released === null) throw refusal.holdNotFound();
    return released;
  }

  async list({ released, limit, after }: HoldList): Promise<HoldPage> {
    const place = after === undefined ? null : decodePlace(Place, after).id;
    const rows = await this.holds.list(released, place, limit + 1);
    const holds = rows.slice(0, limit);
    const last = holds.at(-1);
    const isEnd = last === undefined || holds.length === rows.length;
    return { holds, next: isEnd ? null : encodePlace({ id: last.id }) };
  }
}

import {
  UnusualActivityEventData,
  type SecurityEvent,
  type SecurityEventPage,
  type SecurityEventQuery,
  type UnusualActivityList,
  type UnusualActivityPage,
} from '#libs/contracts';
import { Injectable } from '@nestjs/common';
import { EventOpener } from '../privacy/event.opener.js';
import { decodeCursor, encodeCursor } from '../query/cursor.js';
import { People } from '../query/people.js';
import { QueryRepository } from '../query/query.repository.js';
import type { EventRow } from '../query/stored.query.js';
import { SecurityRepository, type SecurityRow } from './security.repository.js';
import { SubjectNames } from './subject.names.service.js';

/** A page must fit one NATS message (1 MiB by the server's default) with its envelope. */
const page_bytes_max = 700 * 1024;

/** The log as security reviews read it. */
@Injectable()
export class SecurityService {
  constructor(
    private readonly events: SecurityRepository,
    private readonly log: QueryRepository,
    private readonly people: People,
    private readonly opener: EventOpener,
    private readonly names: SubjectNames,
  ) {}

  /** One page; as of `events.query`, all pages are of the log as it was at the first one. */
  async query(request: SecurityEventQuery): Promise<SecurityEventPage> {
    const { order, limit, after, user, ...filter } = request;
    const stored = await this.people.stored(user === undefined ? {} : { actor: user });
    if (stored === null) return { events: [], next: null };
    const place = after === undefined ? null : decodeCursor(after);
    const asked = { ...filter, users: stored.actors };
    const { rows, size } = await this.events.find(asked, { after: place, order }, limit + 1);
    const events = fitting(await this.opened(rows.slice(0, limit)));
    const last = events.at(-1);
    const isEnd = last === undefined || events.length === rows.length;
    const next = isEnd ? null : encodeCursor({ time: last.timestamp, id: last.event_id, size });
    return { events, next };
  }

  /** Newest first. */
  async unusual({ rule, from, to, limit, after }: UnusualActivityList): Promise<UnusualActivityPage> {
    const place = after === undefined ? null : decodeCursor(after);
    const filter = {
      ...{ type: 'tradefleet.security.unusual-activity', entity: 'security' },
      ...(rule === undefined ? {} : { entityId: rule }),
      ...(from === undefined ? {} : { from }),
      ...(to === undefined ? {} : { to }),
    };
    const { rows, size } = await this.log.find(filter, { after: place, order: 'desc' }, limit + 1);
    const page = rows.slice(0, limit);
    const data = page.map((row) => UnusualActivityEventData.parse(row.data));
    const names = await this.names.of(data.map(({ who }) => who));
    const last = page.at(-1);
    const isEnd = last === undefined || page.length === rows.length;
    return {
      activity: data.map((found, index) => ({
        ...found,
        who: names(found.who),
        ...noticed(page[index]),
      })),
      next: isEnd ? null : encodeCursor({ time: last.time.toISOString(), id: last.id, size }),
    };
  }

  private async opened(rows: readonly SecurityRow[]): Promise<SecurityEvent[]> {
    const opened = await this.opener.open(
      rows.map(({ event_id: id, type, user_id: actor, subject_id, details: data }) => ({
        ...{ id, type, actor, subject_id, data },
      })),
    );
    // Whom unusual activity was noticed of stands in its data as the log names persons.
    const nameOf = await this.names.of(opened.flatMap((row) => whoOf(row) ?? []));
    return rows.map(({ timestamp, event_type, severity, ip_address, action, result, event_id }, index) => {
      const row = opened[index];
      const { actor = '' } = row ?? {};
      const who = row === undefined ? null : whoOf(row);
      const data = who === null ? (row?.data ?? {}) : { ...row?.data, who: nameOf(who) };
      const ip = data['ip'];
      return {
        ...{ timestamp: timestamp.toISOString(), event_type, severity, user_id: actor },
        ...{ ip_address: typeof ip === 'string' ? ip : ip_address },
        ...{ action, details: data, result, event_id },
      };
    });
  }
}

function whoOf({ type, data }: { type: string; data: Record<string, unknown> }): string | null {
  const who = type === 'tradefleet.security.unusual-activity' ? data['who'] : null;
  return typeof who === 'string' ? who : null;
}

const noticed = (row: EventRow | undefined) => ({
  id: row?.id ?? '',
  noticedAt: row?.time.toISOString() ?? '',
});

/** As many as fit a message, the first in any case. */
function fitting(events: SecurityEvent[]): SecurityEvent[] {
  let bytes = 0;
  const end = events.findIndex((event, index) => {
    bytes += Buffer.byteLength(JSON.stringify(event)) + 1;
    return index > 0 && bytes > page_bytes_max;
  });
  return end === -1 ? events : events.slice(0, end);
}

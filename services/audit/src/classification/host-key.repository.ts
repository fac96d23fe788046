import type { PublicJwk } from '#libs/contracts';
import { Injectable } from '@nestjs/common';
import { ReaderDatabase } from '../database/reader.js';

/** What a recorded `tradefleet.host.registered` says. */
export interface Registration {
  /** Of the event. */
  readonly id: string;
  /** ISO */
  readonly time: string;
  /** The agent's incarnation that registered. */
  readonly incarnation: string;
  readonly key: PublicJwk;
}

/** Registrations of one host that are looked at; older keys than those of the last ones are worth nothing. */
export const registrations_max = 8;

@Injectable()
export class HostKeyRepository {
  constructor(private readonly database: ReaderDatabase) {}

  /** The newest first; empty for a host that no recorded event has registered. */
  async registrations(host: string): Promise<Registration[]> {
    const rows = await this.database.query<
      { id: string; time: Date; data: { incarnation: string; signingKey: PublicJwk } }[]
    >(
      `SELECT id, time, data FROM audit.events
        WHERE retention = 'audit' AND entity = 'host' AND entity_id = $1
          AND type = 'tradefleet.host.registered'
        ORDER BY time DESC, id DESC LIMIT $2`,
      [host, registrations_max],
    );
    return rows.map(({ id, time, data }) => ({
      ...{ id, time: time.toISOString(), incarnation: data.incarnation, key: data.signingKey },
    }));
  }

  /** Whether events of this incarnation have been recorded. */
  async isKnown(source: string, incarnation: string): Promise<boolean> {
    const rows = await this.database.query<unknown[]>(
      'SELECT 1 FROM audit_work.producers WHERE source = $1 AND incarnation = $2',
      [source, incarnation],
    );
    return rows.length > 0;
  }
}

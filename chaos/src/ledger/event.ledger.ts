import { withClient } from '#libs/testing';
import { join } from 'node:path';
import type { FleetPaths } from '../../../deploy/local/src/fleet.paths.js';
import { type Balance, balanceOf, type Entry } from './event.balance.js';
import { readSpool } from './spool.reader.js';

/** Services that keep what they publish in an outbox, under the schema of their name. */
const outboxes = ['scheduler', 'secrets'] as const;

/**
 * What producers have recorded, put next to what was audited. Producers delete what the audit service says it has, and
 * forget starts of which nothing is left: what a service numbered since its last start it knows, and of those before
 * what is still kept; an agent's numbers are read after each of its ends, before another start forgets them.
 */
export class EventLedger {
  /** Host -> start of its agent -> last number given. */
  private readonly agents = new Map<string, Map<string, number>>();

  constructor(
    private readonly url: () => string,
    private readonly paths: FleetPaths,
  ) {}

  /** Reads the spool of a host whose agent has just ended. @returns the events that wait in it */
  readAgent(host: string): number {
    const { incarnations, waiting } = readSpool(
      join(this.paths.host(host), 'agent.sqlite'),
      this.paths.state,
    );
    const known = this.agents.get(host) ?? new Map<string, number>();
    for (const [id, sequence] of incarnations) known.set(id, Math.max(sequence, known.get(id) ?? 0));
    this.agents.set(host, known);
    return waiting;
  }

  /** Compares as things are now. @param waiting events that agents still have to publish */
  async balance(waiting: number): Promise<Balance> {
    return await withClient(this.url(), async (client) => {
      const { rows: audited } = await client.query<Entry & { distinct: number }>(
        `SELECT source, incarnation::text, count(*)::integer AS events, count(DISTINCT sequence)::integer AS distinct,
                max(sequence)::integer AS last
           FROM audit.events GROUP BY source, incarnation`,
      );
      const recorded: Entry[] = [];
      const missing: string[] = [];
      let unpublished = waiting;
      for (const name of outboxes) {
        const { rows } = await client.query<Pick<Entry, 'source' | 'incarnation' | 'last'>>(
          `SELECT source, incarnation::text, sequence::integer AS last FROM ${name}.outbox_producer
           UNION ALL
           SELECT p.source, o.incarnation::text, max(o.sequence)::integer AS last
             FROM ${name}.outbox_producer p JOIN ${name}.outbox o ON o.incarnation <> p.incarnation
            GROUP BY p.source, o.incarnation`,
        );
        recorded.push(...rows.map((row) => ({ ...row, events: row.last })));
        const { rows: counted } = await client.query<{ n: number }>(
          `SELECT count(*)::integer AS n FROM ${name}.outbox WHERE event IS NOT NULL AND published_at IS NULL`,
        );
        unpublished += counted[0]?.n ?? 0;
        const { rows: lost } = await client.query<{ id: string }>(
          `SELECT o.message_id::text AS id FROM ${name}.outbox o
            WHERE o.event IS NOT NULL AND NOT EXISTS (SELECT FROM audit.events e WHERE e.id = o.message_id) LIMIT 20`,
        );
        missing.push(...lost.map(({ id }) => `${name} ${id}`));
      }
      for (const [host, incarnations] of this.agents)
        for (const [incarnation, last] of incarnations)
          recorded.push({ source: `/agent/${host}`, incarnation, last, events: last });
      const { rows: odd } = await client.query<{ n: number }>(
        'SELECT count(*)::integer AS n FROM audit.quarantine',
      );
      return balanceOf(recorded, audited, { unpublished, missing, quarantined: odd[0]?.n ?? 0 });
    });
  }
}

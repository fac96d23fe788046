import type { MigrationInterface, QueryRunner } from 'typeorm';

/** The log of events and, beside it, what arrived as an event and was none. Rows are only ever added. */
export class EventsAndQuarantine1700000000001 implements MigrationInterface {
  name = 'EventsAndQuarantine1700000000001';

  async up(q: QueryRunner): Promise<void> {
    await q.query(`
      CREATE TABLE audit.events (
        id uuid CONSTRAINT events_once PRIMARY KEY,
        source text NOT NULL,
        incarnation uuid NOT NULL,
        sequence bigint NOT NULL,
        type text NOT NULL,
        entity text NOT NULL,
        entity_id text NOT NULL,
        severity text NOT NULL CHECK (severity IN ('info', 'notice', 'warning', 'critical')),
        actor text NOT NULL,
        time timestamptz(3) NOT NULL,
        traceparent text,
        trace_id text GENERATED ALWAYS AS (substr(traceparent, 4, 32)) STORED,
        -- Of type json, not jsonb: it keeps the bytes as they were sent, which the signature covers.
        data json NOT NULL,
        signature text,
        -- Place in the stream EVENTS; starts again with a new stream, so it identifies nothing.
        stream_seq bigint NOT NULL,
        recorded_at timestamptz NOT NULL DEFAULT now()
      );
      -- Each query filters by one of these at most before it needs the order of time.
      CREATE INDEX events_by_time ON audit.events (time, id);
      CREATE INDEX events_by_entity ON audit.events (entity, entity_id, time, id);
      CREATE INDEX events_by_type ON audit.events (type, time, id);
      CREATE INDEX events_by_actor ON audit.events (actor, time, id);
      CREATE INDEX events_by_trace ON audit.events (trace_id, time, id) WHERE trace_id IS NOT NULL;
      -- Not unique: a producer that numbers wrongly is to be found out, its events are not to be lost.
      CREATE INDEX events_by_producer ON audit.events (source, incarnation, sequence);

      CREATE TABLE audit.quarantine (
        -- SHA-256 of subject, headers and body: the same message delivered twice is kept once.
        digest bytea PRIMARY KEY CHECK (length(digest) = 32),
        stream_seq bigint NOT NULL,
        subject text NOT NULL,
        headers json NOT NULL,
        body bytea NOT NULL,
        reason text NOT NULL,
        recorded_at timestamptz NOT NULL DEFAULT now()
      );
      CREATE INDEX quarantine_by_time ON audit.quarantine (recorded_at);
    `);
  }

  async down(): Promise<void> {
    throw new Error('An audit log is not taken back; restore a backup beside it.');
  }
}

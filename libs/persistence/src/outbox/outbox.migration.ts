import type { MigrationInterface, QueryRunner } from 'typeorm';
import { requireIdentifier } from '../data-source.js';

/** All migrations of the outbox, for a service's list of migrations. */
export const outboxMigrations = (schema: string): (new () => MigrationInterface)[] => [
  outboxMigration(schema),
  lanesMigration(schema),
  keptEventsMigration(schema),
];

/**
 * The migration that makes `<schema>.outbox` and `<schema>.outbox_producer`.
 * A row is an event (`event` holds its attributes; it gets its sequence from the relay) or any other message
 * (`subject` and `headers` are as they will be sent).
 */
function outboxMigration(schema: string): new () => MigrationInterface {
  requireIdentifier(schema);
  return class Outbox1700000000000 implements MigrationInterface {
    name = 'Outbox1700000000000';

    async up(q: QueryRunner): Promise<void> {
      await q.query(`
        CREATE TABLE ${schema}.outbox (
          id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
          message_id uuid NOT NULL CONSTRAINT outbox_message_once UNIQUE,
          event jsonb,
          subject text,
          headers jsonb,
          body text NOT NULL,
          -- Of an event within its producer's incarnation; written before it is published for the first time.
          sequence bigint CHECK (sequence > 0),
          created_at timestamptz NOT NULL DEFAULT now(),
          published_at timestamptz,
          CONSTRAINT outbox_event_or_message CHECK (
            (event IS NOT NULL AND subject IS NULL AND headers IS NULL)
            OR (event IS NULL AND subject IS NOT NULL AND headers IS NOT NULL AND sequence IS NULL)),
          CONSTRAINT outbox_published_events_are_numbered CHECK (
            event IS NULL OR published_at IS NULL OR sequence IS NOT NULL)
        );
        CREATE INDEX outbox_waiting ON ${schema}.outbox (id) WHERE published_at IS NULL;
        CREATE INDEX outbox_published ON ${schema}.outbox (published_at) WHERE published_at IS NOT NULL;
        CREATE UNIQUE INDEX outbox_sequence_once ON ${schema}.outbox (sequence) WHERE sequence IS NOT NULL;

        -- One row a producer; its lock makes one relay number at a time.
        CREATE TABLE ${schema}.outbox_producer (
          source text PRIMARY KEY,
          incarnation uuid NOT NULL,
          sequence bigint NOT NULL CHECK (sequence >= 0)
        );
      `);
    }

    async down(q: QueryRunner): Promise<void> {
      await q.query(`DROP TABLE ${schema}.outbox, ${schema}.outbox_producer`);
    }
  };
}

/** Messages that are not events get their own way out: urgent ones first, and none for ever. */
function lanesMigration(schema: string): new () => MigrationInterface {
  return class OutboxLanes1700000000100 implements MigrationInterface {
    name = 'OutboxLanes1700000000100';

    async up(q: QueryRunner): Promise<void> {
      await q.query(`
        ALTER TABLE ${schema}.outbox
          ADD COLUMN urgent boolean NOT NULL DEFAULT false,
          ADD COLUMN expires_at timestamptz,
          -- Why a message was given up; it counts as published then.
          ADD COLUMN dropped text,
          ADD CONSTRAINT outbox_events_are_kept CHECK (
            event IS NULL OR (NOT urgent AND expires_at IS NULL AND dropped IS NULL)),
          ADD CONSTRAINT outbox_dropped_is_over CHECK (dropped IS NULL OR published_at IS NOT NULL);
        DROP INDEX ${schema}.outbox_waiting;
        CREATE INDEX outbox_waiting_events ON ${schema}.outbox (id)
          WHERE published_at IS NULL AND event IS NOT NULL;
        CREATE INDEX outbox_waiting_messages ON ${schema}.outbox (urgent DESC, id)
          WHERE published_at IS NULL AND event IS NULL;
        CREATE INDEX outbox_expiring_messages ON ${schema}.outbox (expires_at)
          WHERE published_at IS NULL AND event IS NULL;
      `);
    }

    async down(q: QueryRunner): Promise<void> {
      await q.query(`
        DROP INDEX ${schema}.outbox_waiting_events, ${schema}.outbox_waiting_messages,
          ${schema}.outbox_expiring_messages;
        CREATE INDEX outbox_waiting ON ${schema}.outbox (id) WHERE published_at IS NULL;
        ALTER TABLE ${schema}.outbox DROP COLUMN urgent, DROP COLUMN expires_at, DROP COLUMN dropped;
      `);
    }
  };
}

/**
 * Events stay until they are recorded for good, each under the incarnation that numbered it: a relay begins a new one at
 * each start, so that a database brought back from a backup gives no number twice.
 */
function keptEventsMigration(schema: string): new () => MigrationInterface {
  return class OutboxKeptEvents1700000000200 implements MigrationInterface {
    name = 'OutboxKeptEvents1700000000200';

    async up(q: QueryRunner): Promise<void> {
      await q.query(`
        ALTER TABLE ${schema}.outbox
          ADD COLUMN incarnation uuid,
          -- How often it was marked to be published again, because it did not reach the audit log.
          ADD COLUMN refills integer NOT NULL DEFAULT 0 CHECK (refills >= 0);
        UPDATE ${schema}.outbox SET incarnation = (
            SELECT incarnation FROM ${schema}.outbox_producer ORDER BY source LIMIT 1)
          WHERE sequence IS NOT NULL;
        ALTER TABLE ${schema}.outbox
          ADD CONSTRAINT outbox_numbered_in_an_incarnation CHECK ((sequence IS NULL) = (incarnation IS NULL)),
          ADD CONSTRAINT outbox_refilled_once_numbered CHECK (refills = 0 OR sequence IS NOT NULL);
        DROP INDEX ${schema}.outbox_sequence_once, ${schema}.outbox_published, ${schema}.outbox_waiting_events;
        CREATE UNIQUE INDEX outbox_sequence_once ON ${schema}.outbox (incarnation, sequence)
          WHERE sequence IS NOT NULL;
        CREATE INDEX outbox_published_messages ON ${schema}.outbox (published_at)
          WHERE published_at IS NOT NULL AND event IS NULL;
        -- Those to be published again first.
        CREATE INDEX outbox_waiting_events ON ${schema}.outbox ((refills = 0), id)
          WHERE published_at IS NULL AND event IS NOT NULL;
        CREATE INDEX outbox_kept_events ON ${schema}.outbox (incarnation, sequence)
          WHERE event IS NOT NULL AND (published_at IS NOT NULL OR refills > 0);
      `);
    }

    /** What is still to be published is numbered anew, as the older relay has one incarnation. */
    async down(q: QueryRunner): Promise<void> {
      await q.query(`
        DROP INDEX ${schema}.outbox_sequence_once, ${schema}.outbox_published_messages,
          ${schema}.outbox_waiting_events, ${schema}.outbox_kept_events;
        DELETE FROM ${schema}.outbox WHERE event IS NOT NULL AND published_at IS NOT NULL;
        ALTER TABLE ${schema}.outbox DROP COLUMN incarnation, DROP COLUMN refills;
        UPDATE ${schema}.outbox SET sequence = NULL WHERE event IS NOT NULL;
        CREATE INDEX outbox_waiting_events ON ${schema}.outbox (id)
          WHERE published_at IS NULL AND event IS NOT NULL;
        CREATE INDEX outbox_published ON ${schema}.outbox (published_at) WHERE published_at IS NOT NULL;
        CREATE UNIQUE INDEX outbox_sequence_once ON ${schema}.outbox (sequence) WHERE sequence IS NOT NULL;
      `);
    }
  };
}

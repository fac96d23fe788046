import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * Hosts join by invitation, tell what they are, may be labelled and removed; tenants have quotas and priorities.
 *
 * An allocation no longer refers to the row of its host: hosts can be removed, allocations stay as history. One is only
 * ever made for a host that the same transaction has locked, which is what the reference was good for.
 */
export class JoiningAndQuotas1700000000008 implements MigrationInterface {
  name = 'JoiningAndQuotas1700000000008';

  async up(q: QueryRunner): Promise<void> {
    await q.query(`
      ALTER TABLE scheduler.allocations DROP CONSTRAINT allocations_host_fkey;

      ALTER TABLE scheduler.hosts
        -- Over the labels its agent told.
        ADD COLUMN operator_labels jsonb NOT NULL DEFAULT '{}',
        ADD COLUMN fingerprint jsonb,
        -- Since when more is reserved than it has; null while it has enough.
        ADD COLUMN overcommitted_at timestamptz;

      CREATE TABLE scheduler.join_tokens (
        id uuid PRIMARY KEY,
        host text NOT NULL,
        -- SHA-256; the token itself is nowhere.
        token_hash bytea NOT NULL CHECK (octet_length(token_hash) = 32),
        -- For a host that is known: its key is replaced.
        replace_key boolean NOT NULL,
        created_at timestamptz NOT NULL,
        created_by text NOT NULL,
        expires_at timestamptz NOT NULL,
        used_at timestamptz
      );
      CREATE UNIQUE INDEX join_tokens_one_open_per_host ON scheduler.join_tokens (host) WHERE used_at IS NULL;

      ALTER TABLE scheduler.tenants
        ADD COLUMN quota_bots integer CHECK (quota_bots >= 0),
        ADD COLUMN quota_cpu_millis integer CHECK (quota_cpu_millis >= 0),
        ADD COLUMN quota_memory_mib integer CHECK (quota_memory_mib >= 0),
        ADD COLUMN priority integer NOT NULL DEFAULT 50 CHECK (priority BETWEEN 0 AND 100);
      UPDATE scheduler.bots SET policies = jsonb_build_object('priority', 50) || policies;

      -- What is pruned by age.
      CREATE INDEX allocations_by_end ON scheduler.allocations (ended_at) WHERE ended_at IS NOT NULL;
      CREATE INDEX operations_ended ON scheduler.operations (updated_at) WHERE state <> 'running';
    `);
  }

  async down(q: QueryRunner): Promise<void> {
    await q.query(`
      DROP INDEX scheduler.operations_ended;
      DROP INDEX scheduler.allocations_by_end;
      UPDATE scheduler.bots SET policies = policies - 'priority';
      ALTER TABLE scheduler.tenants DROP COLUMN quota_bots, DROP COLUMN quota_cpu_millis,
        DROP COLUMN quota_memory_mib, DROP COLUMN priority;
      DROP TABLE scheduler.join_tokens;
      ALTER TABLE scheduler.hosts DROP COLUMN operator_labels, DROP COLUMN fingerprint, DROP COLUMN overcommitted_at;
      ALTER TABLE scheduler.allocations ADD CONSTRAINT allocations_host_fkey
        FOREIGN KEY (host) REFERENCES scheduler.hosts (name) NOT VALID;
    `);
  }
}

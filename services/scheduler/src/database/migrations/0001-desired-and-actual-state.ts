import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * Desired state (tenants, accounts, bots), actual state (hosts, allocations), what links them (operations, fences)
 * and the idempotency keys. The outbox has its own migration in libs/persistence.
 *
 * The two unique indexes on allocations are I1 in the database: no code path, retry or second scheduler can make an
 * account have two live allocations or reuse an epoch.
 */
export class DesiredAndActualState1700000000001 implements MigrationInterface {
  name = 'DesiredAndActualState1700000000001';

  async up(q: QueryRunner): Promise<void> {
    await q.query(`
      CREATE TABLE scheduler.tenants (
        name text PRIMARY KEY,
        display_name text NOT NULL,
        generation integer NOT NULL DEFAULT 1,
        created_at timestamptz NOT NULL DEFAULT now(),
        created_by text NOT NULL
      );

      CREATE TABLE scheduler.accounts (
        name text PRIMARY KEY,
        tenant text NOT NULL REFERENCES scheduler.tenants (name),
        server text NOT NULL,
        login bigint NOT NULL CHECK (login > 0),
        locked_reason text,
        locked_by text,
        locked_at timestamptz,
        generation integer NOT NULL DEFAULT 1,
        created_at timestamptz NOT NULL DEFAULT now(),
        created_by text NOT NULL,
        CONSTRAINT accounts_broker_identity UNIQUE (server, login),
        CONSTRAINT accounts_lock_whole CHECK (
          (locked_at IS NULL AND locked_by IS NULL AND locked_reason IS NULL)
          OR (locked_at IS NOT NULL AND locked_by IS NOT NULL AND locked_reason IS NOT NULL))
      );
      CREATE INDEX accounts_by_tenant ON scheduler.accounts (tenant, name);

      -- The fencing token: grows by one in the transaction that creates an allocation, never shrinks.
      CREATE TABLE scheduler.fences (
        account text PRIMARY KEY REFERENCES scheduler.accounts (name),
        epoch integer NOT NULL CHECK (epoch >= 0)
      );

      CREATE TABLE scheduler.bots (
        name text PRIMARY KEY,
        tenant text NOT NULL REFERENCES scheduler.tenants (name),
        account text NOT NULL CONSTRAINT bots_one_per_account UNIQUE REFERENCES scheduler.accounts (name),
        runtime text NOT NULL,
        parameters jsonb NOT NULL,
        resources jsonb NOT NULL,
        constraints jsonb NOT NULL,
        policies jsonb NOT NULL,
        desired text NOT NULL CHECK (desired IN ('running', 'stopped', 'deleted')),
        generation integer NOT NULL DEFAULT 1,
        -- Why no host can take it at present; null when it is placed or should not run.
        queued_reason text,
        queued_at timestamptz,
        -- Failures since the last time it ran well, and the earliest time of the next try.
        failures integer NOT NULL DEFAULT 0,
        retry_at timestamptz,
        created_at timestamptz NOT NULL DEFAULT now(),
        updated_at timestamptz NOT NULL DEFAULT now(),
        created_by text NOT NULL,
        -- Who last changed what should run; carried by the commands that follow from it.
        changed_by text NOT NULL
      );
      CREATE INDEX bots_by_tenant ON scheduler.bots (tenant, name);

      CREATE TABLE scheduler.hosts (
        name text PRIMARY KEY,
        state text NOT NULL CHECK (state IN ('ready', 'draining', 'down')),
        driver text NOT NULL,
        runtimes text[] NOT NULL,
        labels jsonb NOT NULL,
        cpu_millis integer NOT NULL,
        memory_mib integer NOT NULL,
        bots_max integer NOT NULL,
        agent_version text NOT NULL,
        incarnation uuid NOT NULL,
        signing_key jsonb NOT NULL,
        sealing_key jsonb NOT NULL,
        drain_reason text,
        drain_by text,
        drain_at timestamptz,
        generation integer NOT NULL DEFAULT 1,
        registered_at timestamptz NOT NULL DEFAULT now(),
        -- Written when the state changes and about once a minute; the leader's memory has the exact one.
        last_heartbeat_at timestamptz
      );

      CREATE TABLE scheduler.allocations (
        id uuid PRIMARY KEY,
        bot text NOT NULL,
        account text NOT NULL REFERENCES scheduler.accounts (name),
        tenant text NOT NULL,
        host text NOT NULL REFERENCES scheduler.hosts (name),
        epoch integer NOT NULL CHECK (epoch > 0),
        bot_generation integer NOT NULL,
        reserved_cpu_millis integer NOT NULL,
        reserved_memory_mib integer NOT NULL,
        state text NOT NULL CHECK (state IN
          ('placed', 'accepted', 'preparing', 'starting', 'running', 'stopping', 'stopped', 'failed', 'lost')),
        stage text,
        reason text,
        detail text,
        exit_code integer,
        -- Set once when the scheduler wants it to end; the reason becomes the allocation's when it has.
        stop_reason text,
        stop_requested_at timestamptz,
        -- End of the grace it has for stopping; its lease is not renewed beyond.
        stop_deadline_at timestamptz,
        -- When the newest command for it was put into the outbox, to send it again if nothing comes of it, and how
        -- many there were since it last got on.
        commanded_at timestamptz,
        commands_sent integer NOT NULL DEFAULT 0,
        created_at timestamptz NOT NULL DEFAULT now(),
        updated_at timestamptz NOT NULL DEFAULT now(),
        running_at timestamptz,
        ended_at timestamptz,
        CONSTRAINT allocations_epoch_once UNIQUE (account, epoch)
      );
      CREATE UNIQUE INDEX allocations_one_live_per_account ON scheduler.allocations (account)
        WHERE state IN ('placed', 'accepted', 'preparing', 'starting', 'running', 'stopping');
      CREATE INDEX allocations_live_by_host ON scheduler.allocations (host)
        WHERE state IN ('placed', 'accepted', 'preparing', 'starting', 'running', 'stopping');
      CREATE INDEX allocations_by_bot ON scheduler.allocations (bot, epoch DESC);

      -- Who leads. One row; the term grows with every taking over and fences every write of the leader.
      CREATE TABLE scheduler.leadership (
        one_row boolean PRIMARY KEY DEFAULT true CHECK (one_row),
        term integer NOT NULL CHECK (term >= 0),
        holder text NOT NULL,
        since timestamptz NOT NULL DEFAULT now()
      );
      INSERT INTO scheduler.leadership (term, holder) VALUES (0, 'nobody');

      CREATE TABLE scheduler.operations (
        id uuid PRIMARY KEY,
        kind text NOT NULL,
        state text NOT NULL CHECK (state IN ('running', 'succeeded', 'failed', 'superseded')),
        requested_by text NOT NULL,
        -- Of its targets: all, those that ended in any way, and of these the failed and the superseded.
        total integer NOT NULL,
        done integer NOT NULL DEFAULT 0,
        failed integer NOT NULL DEFAULT 0,
        superseded integer NOT NULL DEFAULT 0,
        created_at timestamptz NOT NULL DEFAULT now(),
        updated_at timestamptz NOT NULL DEFAULT now(),
        CONSTRAINT operations_counts_fit CHECK (done <= total AND failed + superseded <= done)
      );
      CREATE INDEX operations_running ON scheduler.operations (id) WHERE state = 'running';

      CREATE TABLE scheduler.operation_targets (
        operation uuid NOT NULL REFERENCES scheduler.operations (id) ON DELETE CASCADE,
        bot text NOT NULL,
        generation integer NOT NULL,
        goal text NOT NULL CHECK (goal IN ('running', 'stopped', 'deleted', 'moved')),
        -- The host to leave; with the goal moved only.
        host text CHECK ((host IS NOT NULL) = (goal = 'moved')),
        state text NOT NULL CHECK (state IN ('running', 'succeeded', 'failed', 'superseded')),
        reason text,
        PRIMARY KEY (operation, bot)
      );
      CREATE INDEX operation_targets_running ON scheduler.operation_targets (bot) WHERE state = 'running';

      CREATE TABLE scheduler.idempotency_keys (
        key text PRIMARY KEY,
        operation_name text NOT NULL,
        request_hash text NOT NULL,
        response jsonb NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now()
      );
      CREATE INDEX idempotency_keys_by_age ON scheduler.idempotency_keys (created_at);
    `);
  }

  async down(): Promise<void> {
    throw new Error('There is no way back from the first migration; restore a backup.');
  }
}

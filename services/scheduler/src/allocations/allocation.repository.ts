import { Injectable } from '@nestjs/common';
import { newId, type AllocationCheck } from '#libs/contracts';
import { DataSource } from 'typeorm';
import type { z } from 'zod';
import type { Transaction } from '#libs/persistence';
import type {
  AllocationIdentity,
  PlaceableBot,
  PlacedAllocation,
  StoppingAllocation,
} from './allocation.rows.js';
import { liveStatesSql } from './allocation.states.sql.js';
import { HostRoomRepository } from './host-room.repository.js';

/** One bot for one host, as placement chose. */
export interface ChosenPlace {
  readonly bot: string;
  /** The generation placement looked at; another one is not placed but looked at again. */
  readonly generation: number;
  readonly host: string;
}

/** Allocations of an account come into being and are told to end here, in batches. */
@Injectable()
export class AllocationRepository {
  constructor(
    private readonly dataSource: DataSource,
    private readonly room: HostRoomRepository,
  ) {}

  /**
   * Makes an allocation for each bot that may still run, under the next epoch of its account. Leaves out, without an
   * error, what has changed since placement looked, and what its host has no room for any more: those are not in the
   * answer. The partial unique index refuses a
   * second live allocation of an account whatever this code does. Counted in the term, so that hosts can tell whether a
   * database knows of these epochs.
   */
  async create(tx: Transaction, places: readonly ChosenPlace[], now: Date): Promise<PlacedAllocation[]> {
    const hostOf = new Map(places.map(({ bot, host }) => [bot, host]));
    await this.room.hold(tx, hostOf.values());
    const generationOf = new Map(places.map(({ bot, generation }) => [bot, generation]));
    const bots = (await this.lockPlaceable(tx, [...hostOf.keys()])).filter(
      (bot) => bot.generation === generationOf.get(bot.bot),
    );
    if (bots.length === 0) return [];
    const chosen = bots.map((bot) => ({
      ...bot,
      id: newId(now.getTime()),
      host: hostOf.get(bot.bot) ?? '',
      cpuMillis: bot.resources.cpuMillis,
      memoryMiB: bot.resources.memoryMiB,
    }));
    const wanted = await this.room.fitting(tx, chosen);
    if (wanted.length === 0) return [];
    const rows = await tx.query<{ id: string; epoch: number; sealingKey: PlacedAllocation['sealingKey'] }[]>(
      `WITH wanted AS (
         SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::int[], $7::int[], $8::int[],
                              $10::int[])
           AS w (id, bot, account, tenant, host, generation, cpu_millis, memory_mib, lease_ttl_ms)
         JOIN (SELECT name, sealing_key FROM scheduler.hosts WHERE state = 'ready') h ON h.name = w.host
         WHERE NOT EXISTS (SELECT 1 FROM scheduler.allocations a
                           WHERE a.account = w.account AND a.state IN (${liveStatesSql}))
       ), fenced AS (
         INSERT INTO scheduler.fences (account, epoch)
         SELECT account, 1 + (SELECT epoch_floor FROM scheduler.leadership) FROM wanted ORDER BY account
         ON CONFLICT (account) DO UPDATE SET epoch = fences.epoch + 1
         RETURNING account, epoch
       ), counted AS (
         UPDATE scheduler.terms SET placements = placements + 1
         WHERE term = (SELECT term FROM scheduler.leadership)
       ), made AS (
         INSERT INTO scheduler.allocations (id, bot, account, tenant, host, epoch, bot_generation,
             reserved_cpu_millis, reserved_memory_mib, lease_ttl_ms, state, commanded_at, commands_sent)
         SELECT w.id, w.bot, w.account, w.tenant, w.host, f.epoch, w.generation, w.cpu_millis, w.memory_mib,
             w.lease_ttl_ms, 'placed', $9, 1
         FROM wanted w JOIN fenced f USING (account)
         ON CONFLICT (account) WHERE state IN (${liveStatesSql}) DO NOTHING
         RETURNING id, epoch
       )
       SELECT made.id, made.epoch, wanted.sealing_key AS "sealingKey" FROM made JOIN wanted USING (id)`,
      [
        wanted.map((w) => w.id),
        wanted.map((w) => w.bot),
        wanted.map((w) => w.account),
        wanted.map((w) => w.tenant),
        wanted.map((w) => w.host),
        wanted.map((w) => w.generation),
        wanted.map((w) => w.cpuMillis),
        wanted.map((w) => w.memoryMiB),
        now,
        wanted.map((w) => w.policies.leaseTtlMs ?? null),
      ],
    );
    const madeOf = new Map(rows.map((row) => [row.id, row]));
    return wanted.flatMap((want) => {
      const made = madeOf.get(want.id);
      return made === undefined ? [] : [{ ...want, epoch: made.epoch, sealingKey: made.sealingKey }];
    });
  }

  /**
   * The bots, locked, that should run and may: their desired state, generation and account cannot change under the
   * transaction. Accounts before bots, as everywhere.
   */
  private async lockPlaceable(tx: Transaction, bots: readonly string[]): Promise<PlaceableBot[]> {
    await tx.query(
      `SELECT 1 FROM scheduler.accounts WHERE name IN (SELECT account FROM scheduler.bots WHERE name = ANY($1))
       ORDER BY name FOR SHARE`,
      [bots],
    );
    const rows = await tx.query<(Omit<PlaceableBot, 'login'> & { login: string })[]>(
      `SELECT b.name AS bot, b.generation, b.tenant, b.account, a.server, a.login, b.runtime, b.version,
              b.parameters, b.resources, b.constraints, b.policies, b.changed_by AS "changedBy"
       FROM scheduler.bots b JOIN scheduler.accounts a ON a.name = b.account
       WHERE b.name = ANY($1) AND b.desired = 'running' AND a.locked_at IS NULL
       ORDER BY b.name FOR NO KEY UPDATE OF b`,
      [bots],
    );
    return rows.map((row) => ({ ...row, login: Number(row.login) }));
  }

  /**
   * Wants these to end; once wanted, that stays so. Answers those that were live and not yet to stop. The grace is the
   * bot's own; the actor whoever last changed the bot, unless given.
   */
  async requestStop(
    tx: Transaction,
    stops: readonly { id: string; reason: StoppingAllocation['stopReason']; actor: string | null }[],
    now: Date,
  ): Promise<StoppingAllocation[]> {
    const [rows] = await tx.query<[StoppingAllocation[], number]>(
      `UPDATE scheduler.allocations a
       SET stop_reason = w.reason, stop_actor = w.actor, stop_requested_at = $4, commanded_at = $4, commands_sent = 1, updated_at = $4,
           stop_deadline_at = $4::timestamptz + make_interval(secs => w.grace_ms / 1000.0)
       FROM (SELECT l.id, i.reason, coalesce((b.policies->>'stopGraceMs')::int, 0) AS grace_ms,
                    coalesce(i.actor, b.changed_by, 'service:scheduler') AS actor
             FROM unnest($1::uuid[], $2::text[], $3::text[]) AS i (id, reason, actor)
             JOIN (SELECT id, bot FROM scheduler.allocations
                   WHERE id = ANY($1) AND state IN (${liveStatesSql}) AND stop_requested_at IS NULL
                   ORDER BY id FOR NO KEY UPDATE) l ON l.id = i.id
             LEFT JOIN scheduler.bots b ON b.name = l.bot) w
       WHERE a.id = w.id
       RETURNING a.id, a.tenant, a.bot, a.account, a.host, a.epoch, a.stop_reason AS "stopReason",
                 w.grace_ms AS "graceMs", w.actor`,
      [stops.map((s) => s.id), stops.map((s) => s.reason), stops.map((s) => s.actor), now],
    );
    return rows;
  }

  /** Counts one more command for each, sent now. */
  async commandedAgain(tx: Transaction, ids: readonly string[], now: Date): Promise<void> {
    await tx.query(
      `UPDATE scheduler.allocations SET commanded_at = $2, commands_sent = commands_sent + 1
       WHERE id = ANY($1) AND state IN (${liveStatesSql})`,
      [ids, now],
    );
  }

  /** Who the allocations are, ended ones too; unknown ids are left out. */
  async identities(ids: readonly string[]): Promise<AllocationIdentity[]> {
    return this.dataSource.query<AllocationIdentity[]>(
      'SELECT id, tenant, bot, account, host, epoch FROM scheduler.allocations WHERE id = ANY($1)',
      [ids],
    );
  }

  /** Whether the allocation is live under exactly this identity and nobody wants it to end. */
  async isLive(check: z.output<typeof AllocationCheck>): Promise<boolean> {
    const rows = await this.dataSource.query<unknown[]>(
      `SELECT 1 FROM scheduler.allocations
       WHERE id = $1 AND account = $2 AND host = $3 AND epoch = $4 AND state IN (${liveStatesSql})
         AND stop_requested_at IS NULL`,
      [check.allocation, check.account, check.host, check.epoch],
    );
    return rows.length > 0;
  }
}

import { liveStates, type DesiredState } from '#libs/contracts';
import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { liveStatesSql } from '../allocations/allocation.states.sql.js';
import { queueTurnSql } from '../allocations/queue.order.sql.js';
import { BotEntity } from '../database/entities/index.js';
import type { Transaction } from '#libs/persistence';
import type { BotDefinition } from './bot.definition.js';
import type { BotRow } from './bot.row.js';

/**
 * Bots, each with its newest allocation, in one query. Allocations of an earlier bot of the same name are not its
 * own; epochs of one account only grow, so the highest is the newest.
 */
const withAllocation = `
  SELECT b.name, b.tenant, b.account, b.runtime, b.version, b.parameters, b.resources, b.constraints, b.policies,
    b.desired, b.generation, b.queued_reason, b.retry_at, b.failures, b.gave_up_at, b.created_at, b.updated_at, b.created_by, to_jsonb(newest) AS allocation
  FROM scheduler.bots b
  LEFT JOIN LATERAL (
    SELECT * FROM scheduler.allocations a
    WHERE a.bot = b.name AND a.created_at >= b.created_at
    ORDER BY a.epoch DESC LIMIT 1
  ) newest ON true`;

export interface AccountOfBot {
  readonly tenant: string;
  /** Why no bot of the account may run; null when it is not locked. */
  readonly lockReason: string | null;
}

export interface NewBot extends BotDefinition {
  readonly name: string;
  readonly tenant: string;
  readonly account: string;
  readonly desired: DesiredState;
  readonly by: string;
}

@Injectable()
export class BotRepository {
  constructor(private readonly dataSource: DataSource) {}

  /** False when the name is taken or the account has a bot. */
  async insert(tx: Transaction, bot: NewBot): Promise<boolean> {
    const rows: unknown[] = await tx.query(
      `INSERT INTO scheduler.bots
         (name, tenant, account, runtime, version, parameters, resources, constraints, policies, desired,
          created_by, changed_by)
       VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $11)
       ON CONFLICT DO NOTHING RETURNING name`,
      [
        bot.name,
        bot.tenant,
        bot.account,
        bot.runtime,
        bot.version,
        JSON.stringify(bot.parameters),
        JSON.stringify(bot.resources),
        JSON.stringify(bot.constraints),
        JSON.stringify(bot.policies),
        bot.desired,
        bot.by,
      ],
    );
    return rows.length > 0;
  }

  async find(name: string, tx?: Transaction): Promise<BotRow | null> {
    const rows: BotRow[] = await (tx ?? this.dataSource.manager).query(
      `${withAllocation} WHERE b.name = $1`,
      [name],
    );
    return rows[0] ?? null;
  }

  /** Reads what should run and keeps others from changing it until the transaction ends. */
  async findForUpdate(tx: Transaction, name: string): Promise<BotEntity | null> {
    return await tx.findOne(BotEntity, { where: { name }, lock: { mode: 'for_no_key_update' } });
  }

  async ofAccount(tx: Transaction, account: string): Promise<BotEntity | null> {
    return await tx.findOneBy(BotEntity, { account });
  }

  /** What a bot has to know of its account; keeps others from locking or unlocking it until the transaction ends. */
  async holdAccount(tx: Transaction, account: string): Promise<AccountOfBot | null> {
    const rows: AccountOfBot[] = await tx.query(
      'SELECT tenant, locked_reason AS "lockReason" FROM scheduler.accounts WHERE name = $1 FOR SHARE',
      [account],
    );
    return rows[0] ?? null;
  }

  /** Of a bot that waits for room: how many wait, and how many of them have their turn before it. */
  async placeInQueue(
    name: string,
    queueAgeing_ms: number,
  ): Promise<{ waiting: number; before: number } | null> {
    const rows: { waiting: number; before: number }[] = await this.dataSource.query(
      `WITH queue AS (
         SELECT b.name, rank() OVER (ORDER BY ${queueTurnSql('now()', '$2')}, b.created_at, b.name) AS place,
           count(*) OVER () AS waiting
         FROM scheduler.bots b JOIN scheduler.tenants t ON t.name = b.tenant
         WHERE b.queued_reason IS NOT NULL AND b.desired = 'running' AND NOT EXISTS (
           SELECT 1 FROM scheduler.allocations a WHERE a.account = b.account AND a.state IN (${liveStatesSql})))
       SELECT waiting::int, (place - 1)::int AS before FROM queue WHERE name = $1`,
      [name, queueAgeing_ms],
    );
    return rows[0] ?? null;
  }

  /** By name; with `host`, those that live there. */
  async page(query: {
    tenant: string | undefined;
    host: string | undefined;
    after: string | undefined;
    rows_max: number;
  }): Promise<BotRow[]> {
    return await this.dataSource.query(
      `${withAllocation}
       WHERE ($1::text IS NULL OR b.tenant = $1) AND ($3::text IS NULL OR b.name > $3)
         AND ($2::text IS NULL OR b.name IN (
           SELECT bot FROM scheduler.allocations WHERE host = $2 AND state = ANY ($5)))
       ORDER BY b.name LIMIT $4`,
      [query.tenant ?? null, query.host ?? null, query.after ?? null, query.rows_max, liveStates],
    );
  }

  /** Writes what should run, one generation on; what failed before is tried anew. Gives the generation. */
  async change(
    tx: Transaction,
    name: string,
    to: BotDefinition & { desired: DesiredState; by: string },
  ): Promise<number> {
    const [rows]: [{ generation: number }[], number] = await tx.query(
      `UPDATE scheduler.bots
       SET version = $2, parameters = $3, resources = $4, constraints = $5, policies = $6, desired = $7,
         changed_by = $8, generation = generation + 1, updated_at = now(), failures = 0, retry_at = NULL,
         recent_failures = '[]', gave_up_at = NULL
       WHERE name = $1 RETURNING generation`,
      [
        name,
        to.version,
        JSON.stringify(to.parameters),
        JSON.stringify(to.resources),
        JSON.stringify(to.constraints),
        JSON.stringify(to.policies),
        to.desired,
        to.by,
      ],
    );
    const generation = rows[0]?.generation;
    if (generation === undefined) throw new Error('A bot held for update is gone');
    return generation;
  }

  /** Forgets failures and their pause, so that the next pass tries it again. */
  async tryAgain(tx: Transaction, name: string): Promise<void> {
    await tx.query(
      `UPDATE scheduler.bots SET failures = 0, retry_at = NULL, recent_failures = '[]', gave_up_at = NULL
       WHERE name = $1`,
      [name],
    );
  }
}

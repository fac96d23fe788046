import { Injectable } from '@nestjs/common';
import type { Transaction } from '#libs/persistence';
import { liveStatesSql } from '../allocations/allocation.states.sql.js';
import { liveMovesSql } from '../moves/move.states.sql.js';

/** What is kept however old it is, and until when everything else is. */
export interface Keeping {
  readonly allocationsBefore: Date;
  readonly allocationsPerAccount: number;
  readonly operationsBefore: Date;
}

/** Deletes at most `rows_max` rows that nobody needs any more; gives how many. */
type Prune = (tx: Transaction, keeping: Keeping, rows_max: number) => Promise<number>;

const deleted = async (tx: Transaction, sql: string, parameters: unknown[]): Promise<number> => {
  const [, rows] = await tx.query<[unknown, number]>(sql, parameters);
  return rows;
};

/**
 * Ended allocations, but for the newest of each account that has a bot: those tell how it has got on. The epochs are
 * not in danger: fences keep them, and fences are never deleted.
 */
const allocations: Prune = async (tx, { allocationsBefore, allocationsPerAccount }, rows_max) =>
  await deleted(
    tx,
    `DELETE FROM scheduler.allocations WHERE id IN (
       SELECT a.id FROM scheduler.allocations a
       WHERE a.ended_at < $1 AND a.state NOT IN (${liveStatesSql})
         AND NOT EXISTS (
           SELECT 1 FROM scheduler.moves m WHERE m.allocation = a.id AND m.state IN (${liveMovesSql}))
         AND (NOT EXISTS (SELECT 1 FROM scheduler.bots b WHERE b.name = a.bot AND b.account = a.account)
              OR (SELECT count(*) FROM (
                    SELECT 1 FROM scheduler.allocations n
                    WHERE n.account = a.account AND n.epoch > a.epoch LIMIT $2) newer) >= $2)
       ORDER BY a.ended_at LIMIT $3 FOR UPDATE SKIP LOCKED)`,
    [allocationsBefore, allocationsPerAccount, rows_max],
  );

/** Ended moves; the allocations they left tell of nothing else. */
const moves: Prune = async (tx, { allocationsBefore }, rows_max) =>
  await deleted(
    tx,
    `DELETE FROM scheduler.moves WHERE id IN (
       SELECT id FROM scheduler.moves WHERE state NOT IN (${liveMovesSql}) AND updated_at < $1
       ORDER BY id LIMIT $2 FOR UPDATE SKIP LOCKED)`,
    [allocationsBefore, rows_max],
  );

/** Ended rollouts, with their targets. */
const rollouts: Prune = async (tx, { operationsBefore }, rows_max) =>
  await deleted(
    tx,
    `DELETE FROM scheduler.rollouts WHERE id IN (
       SELECT id FROM scheduler.rollouts WHERE ended_at < $1 ORDER BY id LIMIT $2 FOR UPDATE SKIP LOCKED)`,
    [operationsBefore, rows_max],
  );

/** Ended operations, with their targets. */
const operations: Prune = async (tx, { operationsBefore }, rows_max) =>
  await deleted(
    tx,
    `DELETE FROM scheduler.operations WHERE id IN (
       SELECT id FROM scheduler.operations WHERE state <> 'running' AND updated_at < $1
       ORDER BY updated_at LIMIT $2 FOR UPDATE SKIP LOCKED)`,
    [operationsBefore, rows_max],
  );

/** Invitations that let nobody in any more. */
const joinTokens: Prune = async (tx, { operationsBefore }, rows_max) =>
  await deleted(
    tx,
    `DELETE FROM scheduler.join_tokens WHERE id IN (
       SELECT id FROM scheduler.join_tokens WHERE greatest(used_at, expires_at) < $1
       ORDER BY id LIMIT $2 FOR UPDATE SKIP LOCKED)`,
    [operationsBefore, rows_max],
  );

/** Everything that grows with time and is not told of in the audit log alone; each is in the audit log as events, too. */
@Injectable()
export class PruningRepository {
  readonly prunes: Readonly<Record<string, Prune>> = { allocations, moves, rollouts, operations, joinTokens };
}

import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { liveMovesSql } from './move.states.sql.js';
import type { MovableAllocation } from './rebalance.planner.js';

/** Reads what may be moved without anybody having asked for it. */
@Injectable()
export class RebalanceRepository {
  constructor(private readonly dataSource: DataSource) {}

  /**
   * Allocations that have run since before `runningSince`, of bots that should run as they do, are not locked, not on
   * their way and not to stop; by bot.
   */
  async movable(runningSince: Date): Promise<MovableAllocation[]> {
    return this.dataSource.query<MovableAllocation[]>(
      `SELECT a.id AS allocation, a.host, b.name AS bot, b.generation, b.tenant, b.runtime, b.version, b.constraints,
              b.policies->>'antiAffinity' AS "antiAffinity",
              jsonb_build_object('cpuMillis', a.reserved_cpu_millis, 'memoryMiB', a.reserved_memory_mib) AS resources
       FROM scheduler.allocations a
       JOIN scheduler.bots b ON b.name = a.bot AND b.account = a.account AND b.generation = a.bot_generation
       JOIN scheduler.accounts c ON c.name = a.account AND c.locked_at IS NULL
       WHERE a.state = 'running' AND a.stop_requested_at IS NULL AND a.running_at <= $1 AND b.desired = 'running'
         AND NOT EXISTS (SELECT 1 FROM scheduler.moves m WHERE m.account = a.account AND m.state IN (${liveMovesSql}))
       ORDER BY b.name`,
      [runningSince],
    );
  }
}

import { Injectable } from '@nestjs/common';
import type { Transaction } from '#libs/persistence';
import { holdsRoomSql } from '../moves/move.states.sql.js';
import { liveStatesSql } from './allocation.states.sql.js';

/** What a bot takes of a host. */
export interface RoomNeed {
  readonly account: string;
  readonly host: string;
  readonly cpuMillis: number;
  readonly memoryMiB: number;
}

interface Room {
  bots: number;
  cpuMillis: number;
  memoryMiB: number;
}

/**
 * Refuses overcommitment where it counts: in the transaction that takes the room, whatever snapshot its choice was made
 * on. Locks come in the order hosts, accounts, bots, so `hold` is the first statement of such a transaction.
 */
@Injectable()
export class HostRoomRepository {
  /** Keeps others from taking room on these hosts, and heartbeats from shrinking them, until the transaction ends. */
  async hold(tx: Transaction, hosts: Iterable<string>): Promise<void> {
    await tx.query('SELECT FROM scheduler.hosts WHERE name = ANY($1) ORDER BY name FOR NO KEY UPDATE', [
      [...new Set(hosts)],
    ]);
  }

  /**
   * Of these, those that fit on their hosts together with what live allocations and moves hold there; only for hosts
   * that are held. Whoever comes by a move has the room that it holds, and nobody else; the rest in their order.
   */
  async fitting<N extends RoomNeed>(tx: Transaction, needs: readonly N[]): Promise<N[]> {
    const free = await this.free(tx, new Set(needs.map((need) => need.host)));
    const held = await this.heldByMoves(tx, needs);
    const fits = new Set<N>();
    const take = (need: N, own?: Room): void => {
      const room = free.get(need.host);
      if (room === undefined) return;
      const left = minus(plus(room, own ?? none), { ...need, bots: 1 });
      if (left.bots < 0 || left.cpuMillis < 0 || left.memoryMiB < 0) return;
      free.set(need.host, left);
      fits.add(need);
    };
    const isArriving = (need: N): boolean => held.has(keyOf(need));
    for (const need of needs.filter(isArriving)) take(need, held.get(keyOf(need)));
    for (const need of needs) if (!isArriving(need)) take(need);
    return needs.filter((need) => fits.has(need));
  }

  private async free(tx: Transaction, hosts: ReadonlySet<string>): Promise<Map<string, Room>> {
    const rows: (Room & { name: string })[] = await tx.query(
      `SELECT h.name, h.bots_max - count(held.cpu)::int AS bots,
              h.cpu_millis - coalesce(sum(held.cpu), 0)::float8 AS "cpuMillis",
              h.memory_mib - coalesce(sum(held.memory), 0)::float8 AS "memoryMiB"
       FROM scheduler.hosts h
       LEFT JOIN LATERAL (
         SELECT a.reserved_cpu_millis AS cpu, a.reserved_memory_mib AS memory FROM scheduler.allocations a
         WHERE a.host = h.name AND a.state IN (${liveStatesSql})
         UNION ALL
         SELECT m.reserved_cpu_millis, m.reserved_memory_mib FROM scheduler.moves m
         WHERE m.to_host = h.name AND ${holdsRoomSql}
       ) held ON true
       WHERE h.name = ANY($1) GROUP BY h.name`,
      [[...hosts]],
    );
    return new Map(rows.map(({ name, ...room }) => [name, room]));
  }

  /** What moves of these accounts hold on the hosts they are to go to. */
  private async heldByMoves(tx: Transaction, needs: readonly RoomNeed[]): Promise<Map<string, Room>> {
    const rows: RoomNeed[] = await tx.query(
      `SELECT m.account, m.to_host AS host, m.reserved_cpu_millis AS "cpuMillis", m.reserved_memory_mib AS "memoryMiB"
       FROM scheduler.moves m WHERE m.account = ANY($1) AND ${holdsRoomSql}`,
      [needs.map((need) => need.account)],
    );
    return new Map(
      rows.map((row) => [keyOf(row), { bots: 1, cpuMillis: row.cpuMillis, memoryMiB: row.memoryMiB }]),
    );
  }
}

const none: Room = { bots: 0, cpuMillis: 0, memoryMiB: 0 };
const keyOf = ({ account, host }: RoomNeed): string => `${account} ${host}`;
const plus = (a: Room, b: Room): Room => ({
  bots: a.bots + b.bots,
  cpuMillis: a.cpuMillis + b.cpuMillis,
  memoryMiB: a.memoryMiB + b.memoryMiB,
});
const minus = (a: Room, b: Room): Room => ({
  bots: a.bots - b.bots,
  cpuMillis: a.cpuMillis - b.cpuMillis,
  memoryMiB: a.memoryMiB - b.memoryMiB,
});

import { Injectable } from '@nestjs/common';
import type { HostRegister, HostState, PublicJwk } from '#libs/contracts';
import { DataSource } from 'typeorm';
import { liveStatesSql } from '../allocations/allocation.states.sql.js';
import type { Transaction } from '#libs/persistence';

/** What a host is known by. */
export interface HostIdentity {
  readonly incarnation: string;
  readonly signingKey: PublicJwk;
  readonly state: HostState;
  /** Null when its agent has not told. */
  readonly bootId: string | null;
}

/** Of one host. An agent that keeps dying starts about every ten seconds: this covers hours. */
const superseded_kept_max = 1000;

@Injectable()
export class HostRegistrationRepository {
  constructor(private readonly dataSource: DataSource) {}

  /** Null for a host that has not registered. */
  async find(host: string): Promise<HostIdentity | null> {
    const rows = await this.dataSource.query<HostIdentity[]>(
      'SELECT incarnation, signing_key AS "signingKey", state, boot_id AS "bootId" FROM scheduler.hosts WHERE name = $1',
      [host],
    );
    return rows[0] ?? null;
  }

  /** All that ever registered. */
  async names(): Promise<string[]> {
    const rows = await this.dataSource.query<{ name: string }[]>(
      'SELECT name FROM scheduler.hosts ORDER BY name',
    );
    return rows.map((row) => row.name);
  }

  /** Makes the host, ready; false when it exists. Its name is bound to the key from now on. */
  async insert(tx: Transaction, host: HostRegister, now: Date): Promise<boolean> {
    const rows = await tx.query<unknown[]>(
      `INSERT INTO scheduler.hosts (name, state, driver, runtimes, labels, cpu_millis, memory_mib, bots_max,
         agent_version, incarnation, fingerprint, boot_id, signing_key, sealing_key, registered_at, last_heartbeat_at)
       VALUES ($1, 'ready', $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $14)
       ON CONFLICT (name) DO NOTHING RETURNING name`,
      [...this.values(host), JSON.stringify(host.signingKey), JSON.stringify(host.sealingKey), now],
    );
    return rows.length > 0;
  }

  /** The host as it was before, locked. */
  async lock(tx: Transaction, host: string): Promise<HostIdentity | null> {
    const rows = await tx.query<HostIdentity[]>(
      `SELECT incarnation, signing_key AS "signingKey", state, boot_id AS "bootId" FROM scheduler.hosts WHERE name = $1
       FOR NO KEY UPDATE`,
      [host],
    );
    return rows[0] ?? null;
  }

  /** Writes what the agent says of itself; neither its state nor its key. */
  async update(tx: Transaction, host: HostRegister, now: Date): Promise<void> {
    await tx.query(
      `UPDATE scheduler.hosts SET driver = $2, runtimes = $3, labels = $4, cpu_millis = $5, memory_mib = $6,
         bots_max = $7, agent_version = $8, incarnation = $9, fingerprint = coalesce($10, fingerprint),
         boot_id = coalesce($11, boot_id), sealing_key = $12, registered_at = $13
       WHERE name = $1`,
      [...this.values(host), JSON.stringify(host.sealingKey), now],
    );
  }

  /** Whether nothing of the host can run or come back: it is down, and all it had has ended. */
  async isGone(tx: Transaction, host: string): Promise<boolean> {
    const rows = await tx.query<unknown[]>(
      `SELECT 1 FROM scheduler.hosts h WHERE h.name = $1 AND h.state = 'down' AND NOT EXISTS (
         SELECT 1 FROM scheduler.allocations a WHERE a.host = h.name AND a.state IN (${liveStatesSql}))`,
      [host],
    );
    return rows.length > 0;
  }

  /** The longest lease that anything on the host may have, if it is longer than the fleet's. */
  async longestLeaseMs(tx: Transaction, host: string): Promise<number> {
    const [row] = await tx.query<{ longest: number | null }[]>(
      `SELECT max(lease_ttl_ms) AS longest FROM scheduler.allocations
       WHERE host = $1 AND state IN (${liveStatesSql})`,
      [host],
    );
    return row?.longest ?? 0;
  }

  /** Binds the name to another key. */
  async replaceKey(tx: Transaction, host: string, signingKey: PublicJwk): Promise<void> {
    await tx.query(
      'UPDATE scheduler.hosts SET signing_key = $2, generation = generation + 1 WHERE name = $1',
      [host, JSON.stringify(signingKey)],
    );
  }

  /** Whether a later agent of the host has followed this one. */
  async isSuperseded(tx: Transaction, host: string, incarnation: string): Promise<boolean> {
    const rows = await tx.query<unknown[]>(
      'SELECT 1 FROM scheduler.superseded_incarnations WHERE host = $1 AND incarnation = $2',
      [host, incarnation],
    );
    return rows.length > 0;
  }

  /** Keeps this incarnation out from now on. The newest are remembered: an old agent would ask within seconds. */
  async supersede(tx: Transaction, host: string, incarnation: string, now: Date): Promise<void> {
    await tx.query(
      'INSERT INTO scheduler.superseded_incarnations (host, incarnation, superseded_at) VALUES ($1, $2, $3)',
      [host, incarnation, now],
    );
    await tx.query(
      `DELETE FROM scheduler.superseded_incarnations WHERE host = $1 AND incarnation IN (
         SELECT incarnation FROM scheduler.superseded_incarnations WHERE host = $1
         ORDER BY superseded_at DESC OFFSET $2)`,
      [host, superseded_kept_max],
    );
  }

  private values(host: HostRegister): unknown[] {
    const { cpuMillis, memoryMiB, bots } = host.capacity;
    return [
      host.host,
      host.driver,
      host.runtimes,
      JSON.stringify(host.labels),
      cpuMillis,
      memoryMiB,
      bots,
      host.agentVersion,
      host.incarnation,
      host.fingerprint === undefined ? null : JSON.stringify(host.fingerprint),
      host.bootId ?? null,
    ];
  }
}

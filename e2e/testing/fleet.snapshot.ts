import type { FleetHarness } from './fleet.harness.js';

/** Tables of desired and actual state, with the columns that move by themselves left out. */
const tables: Readonly<Record<string, readonly string[]>> = {
  tenants: [],
  accounts: [],
  fences: [],
  bots: [],
  hosts: ['last_heartbeat_at'],
  allocations: [],
  operations: [],
  operation_targets: [],
  idempotency_keys: [],
};

/** Everything the scheduler has stored about the fleet, and what the lists of the API make of it. */
export async function snapshotOf(fleet: FleetHarness): Promise<Record<string, unknown>> {
  const { gateway } = fleet;
  const [rows] = await fleet.sql(`SELECT ${Object.entries(tables).map(rowsOf).join()}`);
  const [tenants, accounts, bots, hosts, operations] = await Promise.all([
    gateway.call('tenants.list', {}),
    gateway.call('accounts.list', {}),
    gateway.call('bots.list', {}),
    gateway.call('hosts.list', {}),
    gateway.call('operations.list', {}),
  ]);
  return {
    rows,
    lists: {
      ...{ tenants, accounts, operations },
      bots: bots.bots.map((bot) => ({ ...bot, status: { ...bot.status, observation: null } })),
      hosts: hosts.hosts.map((host) => ({ ...host, lastHeartbeatAt: null })),
    },
  };
}

function rowsOf([table, moving]: [string, readonly string[]]): string {
  const row = `to_jsonb(t)${moving.map((column) => ` - '${column}'`).join('')}`;
  return `(SELECT jsonb_agg(${row} ORDER BY to_jsonb(t)::text) FROM scheduler.${table} t) AS ${table}`;
}

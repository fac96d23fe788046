import type { ApiName, ApiRequest } from '#libs/contracts';

/** A request of each operation that has a body, as a person would send it. Checked against the schemas by the spec. */
export const requestExamples: { readonly [N in ApiName]?: ApiRequest<N> } = {
  'tenants.create': { name: 'acme', displayName: 'Acme Capital' },
  'tenants.update': { name: 'acme', quotas: { bots: 20 } },
  'accounts.create': { name: 'acme-eurusd', tenant: 'acme', server: 'Paper-Demo', login: 10_000_001 },
  'accounts.lock': { name: 'acme-eurusd', reason: 'The broker asks questions' },
  'accounts.unlock': { name: 'acme-eurusd', reason: 'Answered' },
  'bots.create': {
    name: 'acme-trend',
    account: 'acme-eurusd',
    runtime: 'paper',
    parameters: { symbol: 'EURUSD' },
    resources: { memoryMiB: 128 },
    policies: { onHostLost: 'reschedule' },
  },
  'bots.update': { name: 'acme-trend', parameters: { symbol: 'GBPUSD' } },
  'bots.start': { name: 'acme-trend', reason: 'Markets are open' },
  'bots.stop': { name: 'acme-trend', reason: 'Weekend' },
  'hosts.drain': { name: 'host-a', reason: 'New kernel' },
  'hosts.ready': { name: 'host-a' },
  'hosts.invite': { name: 'host-c', ttlMs: 900_000 },
  'hosts.label': { name: 'host-a', set: { region: 'eu' }, unset: ['rack'] },
  'fleet.rebalance-plan': { movesMax: 10 },
  'fleet.rebalance': {
    movesMax: 10,
    version: '9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08',
  },
  'fleet.plan': {
    manifest: {
      apiVersion: 'tradefleet/v1',
      tenants: [
        {
          name: 'acme',
          accounts: [{ name: 'acme-eurusd', server: 'Paper-Demo', login: 10_000_001 }],
          bots: [{ name: 'acme-trend', account: 'acme-eurusd', runtime: 'paper' }],
        },
      ],
    },
  },
  'fleet.apply': {
    manifest: { apiVersion: 'tradefleet/v1', tenants: [{ name: 'acme' }] },
    version: '9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08',
  },
  'rollouts.plan': { selector: { tenant: 'acme' }, change: { version: '2026.11' } },
  'rollouts.create': {
    selector: { tenant: 'acme' },
    change: { version: '2026.11' },
    version: '9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08',
  },
  'rollouts.pause': { id: '0193c0de-0000-7000-8000-000000000001', reason: 'Markets are nervous' },
  'rollouts.resume': { id: '0193c0de-0000-7000-8000-000000000001' },
  'rollouts.abort': { id: '0193c0de-0000-7000-8000-000000000001', revert: true },
  'log.restore': {
    records: [{ position: 1234, line: '{"v":1,"id":"0193c0de-0000-7000-8000-000000000001",…}' }],
  },
  'subjects.erase': { name: 'user:ada', reason: 'Asked for on 2026-11-20, ticket 417' },
  'subjects.export': { name: 'user:ada' },
  'retention.run': { class: 'session' },
  'holds.place': { reason: 'Case 12/2026', class: 'trading', from: '2026-01' },
  'holds.release': { id: '0193c0de-0000-7000-8000-000000000001', reason: 'The case is closed' },
};

import type { ApiRequest } from '#libs/contracts';
import { uniqueLogin, uniqueName } from '#libs/testing';

type Manifest = ApiRequest<'fleet.plan'>['manifest'];
type ManifestBot = NonNullable<Manifest['tenants'][number]['bots']>[number];

/** Prices pass 600 times as fast as at a real broker, so that a bot has something to trade at once. */
export const fastMarket = { symbol: 'EURUSD', paperSpeed: 600 };

/** One tenant with a bot for each entry, every bot with an account of its own; all names are unique. */
export function aManifest(bots: readonly Partial<ManifestBot>[]): Manifest {
  const tenant = uniqueName('e2e');
  const made = bots.map((fields) => ({
    name: uniqueName('bot'),
    account: uniqueName('acc'),
    runtime: 'paper' as const,
    ...fields,
  }));
  return {
    apiVersion: 'tradefleet/v1',
    tenants: [
      {
        name: tenant,
        accounts: made.map(({ account }) => ({ name: account, server: 'Paper-Demo', login: uniqueLogin() })),
        bots: made,
      },
    ],
  };
}

/** `count` bots that are alike. */
export const manyBots = (count: number, fields: Partial<ManifestBot> = {}): Partial<ManifestBot>[] =>
  Array.from({ length: count }, () => fields);

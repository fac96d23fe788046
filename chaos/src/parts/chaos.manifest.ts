import type { GatewayClient } from '#libs/client';
import { Manifest } from '#libs/contracts';

const tenant = 'chaos';

/** Trades at nearly every look: moving averages of two and three bars cross all the time, on bars of a tenth of a second. */
export const restless = (broker: string) => ({
  ...{ symbol: 'EURUSD', fastPeriod: 2, slowPeriod: 3, atrPeriod: 2, stopAtr: 50, targetAtr: 0 },
  ...{ riskPercent: 0.01, maxVolume: 0.01, maxSpreadPoints: 100_000, maxOrdersPerDay: 100_000 },
  ...{ paperSpeed: 600, paperBalance: 100_000_000, paperSpreadPoints: 1, paperBroker: broker },
});

/** Tries again soon: how long faults keep bots away is to be seen, not how long policies wait. */
export const policies = {
  restart: { attempts: 5, windowMs: 30_000, delayMs: 200, delayMaxMs: 1000, backoff: 'constant' },
  reschedule: { attempts: null, delayMs: 1000, delayMaxMs: 2000 },
} as const;

export const resources = { cpuMillis: 300, memoryMiB: 128, pids: 32 };

/** Account and bot go by one name. */
export const botName = (id: string, number: number): string => `chaos-${id}-${number + 1}`;

/** Tenant, accounts and bots. The names are this run's alone, as the container's name on an engine is made of them. */
export async function applyBots(
  gateway: GatewayClient,
  names: readonly string[],
  broker: string,
): Promise<void> {
  const manifest = Manifest.parse({
    apiVersion: 'tradefleet/v1',
    tenants: [
      {
        name: tenant,
        accounts: names.map((name, index) => ({ name, server: 'Paper-Demo', login: 1000 + index })),
        bots: names.map((name, index) => ({
          ...{ name, account: name, runtime: 'paper', resources, policies },
          parameters: { ...restless(broker), paperSeed: index },
        })),
      },
    ],
  });
  const plan = await gateway.call('fleet.plan', { manifest });
  await gateway.call('fleet.apply', { manifest, version: plan.version });
}

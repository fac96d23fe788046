import type { FleetPaths } from './fleet.paths.js';
import { readRunningFleet } from './fleet.record.js';
import { botTable, summaryLine } from './fleet.view.js';
import { gatewayOf, readFleet } from './gateway.access.js';

/** `npm run status`: what runs; exit code 3 when no fleet does, as `systemctl status` answers. */
export async function showStatus(paths: FleetPaths, json: boolean): Promise<void> {
  const record = readRunningFleet(paths.record);
  if (record === null) {
    console.log(
      json ? JSON.stringify({ running: false }) : 'No fleet is running here; npm start brings one up.',
    );
    process.exitCode = 3;
    return;
  }
  const { bots, hosts } = await readFleet(gatewayOf(record, paths));
  if (json) {
    console.log(JSON.stringify({ running: true, ...record, bots, hosts }, null, 2));
    return;
  }
  console.log(botTable(bots));
  console.log(summaryLine(bots, hosts));
  console.log(`gateway ${record.gatewayUrl} · NATS ${record.natsUrl} · since ${record.startedAt}`);
}

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
  const gateway = gatewayOf(record, paths);
  const { bots, hosts } = await readFleet(gateway);
  const leader = await gateway.call('fleet.leader', {});
  if (json) {
    console.log(JSON.stringify({ running: true, ...record, leader, bots, hosts }, null, 2));
    return;
  }
  console.log(botTable(bots));
  console.log(summaryLine(bots, hosts));
  console.log(`leader ${leader.holder} · term ${leader.term} · since ${leader.since}`);
  console.log(`gateway ${record.gatewayUrl} · NATS ${record.natsUrl} · since ${record.startedAt}`);
}

import { withClient } from '#libs/testing';
import type { ChaosFleet } from '../parts/chaos.fleet.js';
import type { Part } from '../parts/part.js';

/** The scheduler that the database names as the leader; null when none of ours is, or nobody can be asked. */
export async function leadingScheduler(fleet: ChaosFleet): Promise<Part | null> {
  let holder: string;
  try {
    holder = await withClient(fleet.databaseUrl, async (client) => {
      const { rows } = await client.query<{ holder: string }>('SELECT holder FROM scheduler.leadership');
      return rows[0]?.holder ?? '';
    });
  } catch {
    return null; // no database, no leader
  }
  // `<instance>/<process id>/<made up at its start>`
  const pid = Number(holder.split('/')[1]);
  return fleet.schedulers.find((part) => part.pid === pid) ?? null;
}

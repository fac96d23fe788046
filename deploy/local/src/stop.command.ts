import { SystemClock } from '#libs/clock';
import type { FleetPaths } from './fleet.paths.js';
import { isAlive, readRunningFleet } from './fleet.record.js';

const stop_ms_max = 150_000;

/** `npm stop`: asks the fleet's main process to stop everything and waits until it has. */
export async function stop(paths: FleetPaths): Promise<void> {
  const record = readRunningFleet(paths.record);
  if (record === null) {
    console.log('No fleet is running here.');
    return;
  }
  const clock = new SystemClock();
  const started_ms = clock.monotonicMs();
  process.kill(record.main.pid, 'SIGTERM');
  while (isAlive(record.main)) {
    if (clock.monotonicMs() - started_ms > stop_ms_max)
      throw new Error(`The fleet (pid ${record.main.pid}) did not stop; its log: ${paths.log('fleet')}`);
    await clock.sleep(100);
  }
  console.log(`Stopped in ${((clock.monotonicMs() - started_ms) / 1000).toFixed(1)} s.`);
}

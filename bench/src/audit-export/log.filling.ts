import { SystemClock } from '#libs/clock';
import { eventTypes, type LogRecord, newId } from '#libs/contracts';
import { connectDataSource } from '#libs/persistence';
import { perSecond } from '../control/statistics.js';
import { Committer } from '../../../services/audit/src/ingestion/committer.js';
import { LogRepository } from '../../../services/audit/src/ingestion/log.repository.js';
import { Partitions } from '../../../services/audit/src/ingestion/partitions.js';
import { type Leaf, toLeaf } from '../../../services/audit/src/ingestion/recorded-event.js';

const batch = 2000;
const producers = 16;
/** As long as a real one; who exports or verifies the log looks at hashes. */
const signature = `${'x'.repeat(96)}..${'y'.repeat(86)}`;
const progress_events = 100_000;
const type = 'tradefleet.allocation.running';

/**
 * Fills the log by the committer of the audit service, with the service's own role: the same statement, positions, tree
 * and partitions as in operation. What is left out is what comes before: broker, checks, signatures, sealing.
 * @returns events a second
 */
export async function fillLog(
  writerUrl: string,
  events: number,
  progress: (what: string) => void,
): Promise<number> {
  const clock = new SystemClock();
  const dataSource = await connectDataSource({
    ...{ url: writerUrl, schema: 'audit', poolMax: 2, applicationName: 'bench-fill' },
  });
  try {
    const log = new LogRepository(dataSource);
    const committer = new Committer(log, new Partitions(log, clock), clock);
    const incarnations = Array.from({ length: producers }, () => newId());
    const begin_ms = performance.now();
    for (let done = 0; done < events;) {
      const size = Math.min(batch, events - done);
      const leaves = Array.from({ length: size }, (_, index) => leafOf(done + index, incarnations));
      const { added } = await committer.commit({ leaves, quarantined: [] });
      if (added !== size) throw new Error(`Of ${size} events ${added} are new.`);
      if (Math.floor((done + size) / progress_events) > Math.floor(done / progress_events))
        progress(`${done + size} events in the log`);
      done += size;
    }
    return perSecond(events, performance.now() - begin_ms);
  } finally {
    await dataSource.destroy();
  }
}

function leafOf(n: number, incarnations: readonly string[]): Leaf {
  const producer = n % producers;
  const host = `host-${String(producer + 1).padStart(3, '0')}`;
  const wall_ms = Date.now();
  const time = new Date(wall_ms).toISOString();
  const allocation = newId(wall_ms);
  const names = { tenant: `tenant-${n % 8}`, bot: `bot-${n % 997}`, account: `account-${n % 997}` };
  const { severity, retention } = eventTypes[type];
  const data = JSON.stringify({
    ...{ allocation, ...names, host, epoch: 1 + (n % 50), state: 'running', stage: null, attempt: 1 },
    ...{ reason: null, detail: n % 20 === 0 ? 'the terminal has been started again' : null, exitCode: null },
  });
  const record: LogRecord = {
    ...{ v: 1, id: newId(wall_ms), source: `/agent/${host}`, incarnation: incarnations[producer] ?? '' },
    ...{ sequence: Math.floor(n / producers) + 1, type, subject: `allocation/${allocation}` },
    ...{ severity, retention, actor: `host:${host}`, subjectId: null, time, traceparent: null },
    ...{ recordedAt: time, signature, data },
  };
  return toLeaf({ message: { streamSeq: n, subject: '', headers: {}, bytes: new Uint8Array() }, record });
}

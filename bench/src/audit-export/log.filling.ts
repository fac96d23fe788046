import { eventTypes, type LogRecord, newId } from '#libs/contracts';
import { perSecond } from '../control/statistics.js';
import { CommitterSide } from '../audit/committer.side.js';

const batch = 2000;
const producers = 16;
/** As long as that of an event in a full batch; who exports or verifies the log looks at hashes. */
const signature = `${'x'.repeat(127)}..${'y'.repeat(86)}~63~64~${'s'.repeat(22)}~${'p'.repeat(256)}`;
const progress_events = 100_000;
const type = 'tradefleet.allocation.running';

/**
 * Fills the log through the committer of the audit service; without broker, checks, signatures and sealing.
 * @returns events a second
 */
export async function fillLog(
  writerUrl: string,
  events: number,
  progress: (what: string) => void,
): Promise<number> {
  const side = await CommitterSide.connect(writerUrl, batch);
  try {
    const incarnations = Array.from({ length: producers }, () => newId());
    const begin_ms = performance.now();
    for (let done = 0; done < events;) {
      const size = Math.min(batch, events - done);
      await side.commit(Array.from({ length: size }, (_, index) => aRecord(done + index, incarnations)));
      if (Math.floor((done + size) / progress_events) > Math.floor(done / progress_events))
        progress(`${done + size} events in the log`);
      done += size;
    }
    return perSecond(events, performance.now() - begin_ms);
  } finally {
    await side.close();
  }
}

function aRecord(n: number, incarnations: readonly string[]): LogRecord {
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
  return {
    ...{ v: 1, id: newId(wall_ms), source: `/agent/${host}`, incarnation: incarnations[producer] ?? '' },
    ...{ sequence: Math.floor(n / producers) + 1, type, subject: `allocation/${allocation}` },
    ...{ severity, retention, actor: `host:${host}`, subjectId: null, time, traceparent: null },
    ...{ recordedAt: time, signature, data },
  };
}

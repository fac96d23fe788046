import { type Messaging, type OutgoingMessage, provision } from '#libs/messaging';
import { newId, type StreamSpec } from '#libs/contracts';
import pg from 'pg';
import { perSecond } from './statistics.js';

/** What the servers do when nothing else asks: an upper bound for whoever needs one of these for each allocation. */
export interface Baselines {
  /** JetStream, file storage: one message published and acknowledged after the other. */
  readonly publishOneByOne_per_s: number;
  /** As many under way as the outbox relay has. */
  readonly publishWindowed_per_s: number;
  /** Postgres, fsync on: a transaction that inserts one row, one connection. */
  readonly commitOneConnection_per_s: number;
  readonly commitEightConnections_per_s: number;
}

/** As large as an event of an allocation with its signature. */
const message_bytes = 400;
const publish_window = 256;
const connections = 8;
const warm_up_ms = 300;
const body = JSON.stringify({ text: 'x'.repeat(message_bytes) });

const stream: StreamSpec = {
  name: 'BENCH',
  subjects: ['bench.>'],
  retention: 'limits',
  max_age_ms: 3_600_000,
  max_bytes: 1024 * 1024 * 1024,
  max_msg_bytes: 64 * 1024,
  max_msgs_per_subject: null,
  duplicate_window_ms: 600_000,
};

export async function measureBaselines(
  messaging: Messaging,
  databaseUrl: string,
  duration_ms: number,
  progress: (what: string) => void,
): Promise<Baselines> {
  await provision(messaging, { streams: [stream] });
  progress('JetStream, one by one');
  const publishOneByOne_per_s = await rate(duration_ms, async () => {
    await messaging.publishDurable(message());
    return 1;
  });
  progress(`JetStream, ${publish_window} under way`);
  const publishWindowed_per_s = await rate(duration_ms, async () => {
    const messages = Array.from({ length: publish_window * 8 }, message);
    const outcomes = await messaging.publishDurableAll(messages, { window: publish_window });
    if (outcomes.some((outcome) => !outcome.ok)) throw new Error('A message of the baseline was not stored.');
    return messages.length;
  });
  progress('Postgres, one connection');
  const commitOneConnection_per_s = await commits(databaseUrl, duration_ms, 1);
  progress(`Postgres, ${connections} connections`);
  const commitEightConnections_per_s = await commits(databaseUrl, duration_ms, connections);
  return {
    publishOneByOne_per_s,
    publishWindowed_per_s,
    commitOneConnection_per_s,
    commitEightConnections_per_s,
  };
}

const message = (): OutgoingMessage => ({
  subject: 'bench.baseline',
  messageId: newId(),
  headers: {},
  body,
});

async function commits(url: string, duration_ms: number, count: number): Promise<number> {
  const pool = new pg.Pool({ connectionString: url, max: count });
  try {
    await pool.query('CREATE SCHEMA IF NOT EXISTS bench');
    await pool.query('CREATE TABLE IF NOT EXISTS bench.rows (id uuid PRIMARY KEY, body text NOT NULL)');
    const rates = await Promise.all(
      Array.from(
        { length: count },
        async () =>
          await rate(duration_ms, async () => {
            await pool.query('INSERT INTO bench.rows (id, body) VALUES ($1, $2)', [newId(), body]);
            return 1;
          }),
      ),
    );
    return rates.reduce((sum, one) => sum + one, 0);
  } finally {
    await pool.end();
  }
}

/** Calls `work`, which says how much it did, again and again for as long. The first calls do not count. */
async function rate(duration_ms: number, work: () => Promise<number>): Promise<number> {
  const warm_ms = performance.now() + Math.min(warm_up_ms, duration_ms);
  while (performance.now() < warm_ms) await work();
  const begin_ms = performance.now();
  let done = 0;
  do done += await work();
  while (performance.now() - begin_ms < duration_ms);
  return perSecond(done, performance.now() - begin_ms);
}

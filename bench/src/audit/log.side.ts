import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import type { OutgoingMessage } from '#libs/messaging';
import { waitFor } from '#libs/testing';
import type { Cost } from '../process.cost.js';
import type { AuditFleet } from './audit.fleet.js';

export interface Recorded {
  readonly elapsed_ms: number;
  /** CPU time meanwhile, by part of the fleet. */
  readonly cpu_ms: ReadonlyMap<string, number>;
  /** Positions of the log that the events came to: from `first` to before `end`. */
  readonly first: number;
  readonly end: number;
  /** From the last commit until a signed checkpoint covered it. */
  readonly toCheckpoint_ms: number;
}

const record_ms_max = 300_000;
const checkpoint_ms_max = 60_000;
const publish_window = 1024;
const look_ms = 10;

/** What the log has come to, by the events that are durable; on a connection of its own. */
export class LogWatch {
  private constructor(private readonly client: pg.Client) {}

  static async connect(url: string): Promise<LogWatch> {
    const client = new pg.Client({ connectionString: url, query_timeout: 300_000 });
    await client.connect();
    return new LogWatch(client);
  }

  /** Records committed. */
  async size(): Promise<number> {
    return await this.number('SELECT coalesce(max(size), 0) AS n FROM audit_work.head');
  }

  /** Records that a checkpoint covers. */
  async checkpointSize(): Promise<number> {
    return await this.number('SELECT coalesce(max(size), 0) AS n FROM audit.checkpoints');
  }

  async quarantined(): Promise<number> {
    return await this.number('SELECT count(*) AS n FROM audit.quarantine');
  }

  /** Events that stand in the log more than once. */
  async duplicates(): Promise<number> {
    return await this.number('SELECT count(*) - count(DISTINCT id) AS n FROM audit.events');
  }

  /** Of the events at the positions from `first` to before `end`, in their order. */
  async ids(first: number, end: number): Promise<string[]> {
    const { rows } = await this.client.query<{ id: string }>(
      'SELECT id FROM audit.events WHERE position >= $1 AND position < $2 ORDER BY position',
      [first, end],
    );
    return rows.map(({ id }) => id);
  }

  /** What both sides pay for afterwards (pages written in full) begins anew for each. */
  async settleDisk(): Promise<void> {
    await this.client.query('CHECKPOINT');
  }

  async close(): Promise<void> {
    await this.client.end();
  }

  private async number(sql: string): Promise<number> {
    const { rows } = await this.client.query<{ n: string }>(sql);
    return Number(rows[0]?.n ?? 0);
  }
}

/** Events through the real service: they wait in the stream, and the time runs from when it may take them. */
export class LogSide {
  constructor(
    private readonly fleet: AuditFleet,
    private readonly watch: LogWatch,
  ) {}

  /** Until all of them are recorded; then waits for the checkpoint. */
  async record(messages: readonly OutgoingMessage[]): Promise<Recorded> {
    await this.fleet.pauseIngestion();
    const outcomes = await this.fleet.messaging.publishDurableAll(messages, { window: publish_window });
    if (outcomes.some((outcome) => !outcome.ok)) throw new Error('The stream did not take all events.');
    const first = await this.watch.size();
    const end = first + messages.length;
    await this.watch.settleDisk();
    const before = this.fleet.costs();
    const begin_ms = performance.now();
    await this.fleet.resumeIngestion();
    while ((await this.sizeWhileAlive()) < end) {
      if (performance.now() - begin_ms > record_ms_max)
        throw new Error(`${messages.length} events were not recorded in ${record_ms_max} ms.`);
      // Looking seldom would count as time of the service, often as that of Postgres.
      await delay(look_ms);
    }
    const elapsed_ms = performance.now() - begin_ms;
    const cpu_ms = cpuSince(before, this.fleet.costs());
    const recorded_ms = performance.now();
    await waitFor(async () => (await this.watch.checkpointSize()) >= end, {
      ...{ timeoutMs: checkpoint_ms_max, what: 'a checkpoint of the last event' },
    });
    return { elapsed_ms, cpu_ms, first, end, toCheckpoint_ms: performance.now() - recorded_ms };
  }

  private async sizeWhileAlive(): Promise<number> {
    if (this.fleet.pid('audit') === null) throw new Error(this.fleet.ended().join('\n'));
    return await this.watch.size();
  }
}

/** Milliseconds that each part has used from one look to the other. */
export function cpuSince(
  before: ReadonlyMap<string, Cost>,
  now: ReadonlyMap<string, Cost>,
): ReadonlyMap<string, number> {
  return new Map([...now].map(([name, { cpu_ms }]) => [name, cpu_ms - (before.get(name)?.cpu_ms ?? 0)]));
}

import type { Clock } from '#libs/clock';
import type { TaskEvent } from '../driver.js';
import type { TaskRecord } from './task-records.js';

const POLL_MS = 200;

type Phase = 'created' | 'started' | 'exited';

/** Compares the records of a host with those of a moment ago, and reports what has changed. */
export class RecordWatch {
  private known: Map<string, Phase> | null = null;

  constructor(
    private readonly list: () => TaskRecord[],
    private readonly onEvent: (event: TaskEvent) => void,
    private readonly clock: Clock,
  ) {}

  /** Resolves when the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      this.look();
      try {
        await this.clock.sleep(POLL_MS, signal);
      } catch (error) {
        if (!(signal as { aborted: boolean }).aborted) throw error;
      }
    }
  }

  private look(): void {
    const now = new Map(this.list().map((record) => [record.allocation, phaseOf(record)]));
    const before = this.known;
    this.known = now;
    if (before === null) return;
    for (const [allocation, phase] of now) {
      if (phase !== 'created' && phase !== before.get(allocation)) this.onEvent({ kind: phase, allocation });
    }
    for (const allocation of before.keys()) {
      if (!now.has(allocation)) this.onEvent({ kind: 'destroyed', allocation });
    }
  }
}

function phaseOf(record: TaskRecord): Phase {
  if (record.process === null) return 'created';
  return record.exit === null ? 'started' : 'exited';
}

import type { Clock } from '#libs/clock';
import { backoffMs } from '../backoff.js';
import type { DriverLog, TaskEvent } from '../driver.js';
import type { DockerEngine } from './docker.engine.js';
import type { ContainerList, EngineEvent } from './engine-answers.js';
import { label } from './labels.js';

/** Listing anew now and then finds what a stream that went silent did not tell. */
const RELIST_MS = 30_000;

const kinds: Readonly<Record<string, TaskEvent['kind']>> = {
  start: 'started',
  die: 'exited',
  oom: 'out-of-memory',
  destroy: 'destroyed',
};

interface Known {
  readonly allocation: string;
  readonly running: boolean;
}

/**
 * What happens to a host's containers, across breaks of the connection. The engine replays no more than its last 256
 * events, so after each break, and every 30 s, the containers are listed and what differs is reported.
 */
export class EventWatch {
  /** By container id; as many as the host has containers. */
  private known: Map<string, Known> | null = null;

  constructor(
    private readonly engine: DockerEngine,
    private readonly labels: readonly string[],
    private readonly onEvent: (event: TaskEvent) => void,
    private readonly log: DriverLog,
    private readonly clock: Clock,
  ) {}

  /** Resolves when the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    await Promise.all([this.follow(signal), this.relistForEver(signal)]);
  }

  private async follow(signal: AbortSignal): Promise<void> {
    const filters = { type: ['container'], event: Object.keys(kinds), label: this.labels };
    let failures = 0;
    while (!signal.aborted) {
      try {
        const onOpen = async (): Promise<void> => {
          await this.relist();
          failures = 0;
        };
        await this.engine.events(filters, onOpen, (event) => this.heard(event), signal);
        this.log.info({}, 'event stream ended, connecting again');
      } catch (error) {
        if (isAborted(signal)) return;
        this.log.warn({ err: error, failures }, 'event stream broke, connecting again');
      }
      await this.pause(backoffMs(failures), signal);
      failures += 1;
    }
  }

  private async relistForEver(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.pause(RELIST_MS, signal);
      if (isAborted(signal)) return;
      try {
        await this.relist();
      } catch (error) {
        this.log.warn({ err: error }, 'containers could not be listed');
      }
    }
  }

  /** Returns early when the signal aborts. */
  private async pause(ms: number, signal: AbortSignal): Promise<void> {
    try {
      await this.clock.sleep(ms, signal);
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  }

  private heard(event: EngineEvent): void {
    const kind = kinds[event.Action];
    const allocation = event.Actor.Attributes?.[label.allocation];
    if (kind === undefined || allocation === undefined) return;
    if (kind === 'destroyed') this.known?.delete(event.Actor.ID);
    else if (kind !== 'out-of-memory')
      this.known?.set(event.Actor.ID, { allocation, running: kind === 'started' });
    this.onEvent({ kind, allocation, id: event.Actor.ID });
  }

  private async relist(): Promise<void> {
    const before = this.known;
    const now = statesOf(await this.engine.containers({ label: this.labels }));
    this.known = now;
    if (before === null) return;
    for (const [id, { allocation, running }] of now) {
      const was = before.get(id);
      if (running && was?.running !== true) this.onEvent({ kind: 'started', allocation, id });
      if (!running && was?.running === true) this.onEvent({ kind: 'exited', allocation, id });
    }
    for (const [id, { allocation }] of before) {
      if (!now.has(id)) this.onEvent({ kind: 'destroyed', allocation, id });
    }
  }
}

function statesOf(containers: ContainerList): Map<string, Known> {
  const known = new Map<string, Known>();
  for (const { Id, State, Labels } of containers) {
    const allocation = Labels?.[label.allocation];
    if (allocation !== undefined) {
      known.set(Id, { allocation, running: State === 'running' || State === 'paused' });
    }
  }
  return known;
}

/** A function, because the compiler does not see that a signal may abort while something is awaited. */
const isAborted = (signal: AbortSignal): boolean => signal.aborted;

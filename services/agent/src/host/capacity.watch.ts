import { Inject, Injectable } from '@nestjs/common';
import { CLOCK, type Clock } from '#libs/clock';
import type { Capacity } from '#libs/contracts';
import { LOGGER, type Logger } from '#libs/telemetry';
import { isAbort, StartupFault } from '../errors.js';
import { HeartbeatSignal } from '../heartbeats/heartbeat.signal.js';
import { HOST_ABILITY, type HostAbility } from './host-ability.js';

/** DI token of a `MeasureHost`. */
export const MEASURE_HOST = Symbol('MeasureHost');
export type MeasureHost = () => Promise<HostAbility>;

/** Machines change seldom: an engine that was restarted, a limit that was changed, memory that was plugged. */
const look_ms = 60_000;
const nothing: Capacity = { cpuMillis: 0, memoryMiB: 0, bots: 0 };

/** What the host offers, as it was last measured. What it is stays as it was registered. */
export class CurrentAbility implements HostAbility {
  #capacity: Capacity;

  constructor(private readonly registered: HostAbility) {
    this.#capacity = registered.capacity;
  }

  get driver(): HostAbility['driver'] {
    return this.registered.driver;
  }
  get runtimes(): HostAbility['runtimes'] {
    return this.registered.runtimes;
  }
  get fingerprint(): HostAbility['fingerprint'] {
    return this.registered.fingerprint;
  }
  get capacity(): Capacity {
    return this.#capacity;
  }

  /** Gives whether that is another capacity. */
  offer(capacity: Capacity): boolean {
    const { cpuMillis, memoryMiB, bots } = this.#capacity;
    this.#capacity = capacity;
    return capacity.cpuMillis !== cpuMillis || capacity.memoryMiB !== memoryMiB || capacity.bots !== bots;
  }
}

/** Measures the host again and again; the next heartbeat tells what has changed. */
@Injectable()
export class CapacityWatch {
  readonly #stop = new AbortController();
  #loop: Promise<void> | null = null;

  constructor(
    @Inject(HOST_ABILITY) private readonly ability: CurrentAbility,
    @Inject(MEASURE_HOST) private readonly measure: MeasureHost,
    private readonly heartbeat: HeartbeatSignal,
    @Inject(CLOCK) private readonly clock: Clock,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  start(): void {
    this.#loop ??= this.#run();
  }

  async close(): Promise<void> {
    this.#stop.abort();
    await this.#loop;
  }

  /** One look. An engine that does not answer says nothing of the machine: what was known stays. */
  async look(): Promise<void> {
    let capacity: Capacity;
    try {
      capacity = (await this.measure()).capacity;
    } catch (error) {
      if (!(error instanceof StartupFault)) {
        this.logger.warn({ err: error }, 'the host could not be measured');
        return;
      }
      // It has shrunk to what it keeps for itself.
      capacity = nothing;
    }
    const before = this.ability.capacity;
    if (!this.ability.offer(capacity)) return;
    this.logger.warn({ before, capacity }, 'the capacity of the host has changed');
    this.heartbeat.call();
  }

  async #run(): Promise<void> {
    try {
      for (;;) {
        await this.clock.sleep(look_ms, this.#stop.signal);
        await this.look();
      }
    } catch (error) {
      if (!isAbort(error)) throw error;
    }
  }
}

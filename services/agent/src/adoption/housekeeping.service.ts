import { Inject, Injectable } from '@nestjs/common';
import { CLOCK, type Clock, Wake } from '#libs/clock';
import { LOGGER, type Logger } from '#libs/telemetry';
import { AllocationsService } from '../allocations/allocations.service.js';
import { DRIVER, type Driver, type Recovered } from '../drivers/driver.js';
import { isAbort } from '../errors.js';
import { AllocationsRepository } from '../state/allocations.repository.js';
import { SpareThings } from './spare-things.js';
import { StrayContainers } from './stray-containers.js';

/** What Docker did although the call that asked for it failed is found within this. */
const look_ms = 60_000;
/** However many events come, the engine is not listed more often. */
const spacing_ms_min = 1_000;
/** Spare things are looked for every so many looks. */
const looks_per_sweep = 10;
/** Strays of one look; the others are found by the next. */
const strays_max = 100;

/**
 * Keeps a host clean while it works. Woken by the engine's events, and every minute in any case, it lists the containers
 * of this host and kills what no live allocation owns: one that the engine made or started after the call for it had
 * failed, or that somebody started by hand. Every ten minutes it looks for what is spare.
 */
@Injectable()
export class HousekeepingService {
  readonly #stop = new AbortController();
  readonly #wake = new Wake();
  #loop: Promise<void> | null = null;

  constructor(
    @Inject(DRIVER) private readonly driver: Driver,
    private readonly records: AllocationsRepository,
    private readonly allocations: AllocationsService,
    private readonly strays: StrayContainers,
    private readonly spares: SpareThings,
    @Inject(CLOCK) private readonly clock: Clock,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  start(): void {
    if (this.#loop !== null) return;
    this.driver.events(({ kind, allocation, id }) => {
      if (kind !== 'started') return;
      // Its own starts it knows of: one of a bot that lives here, whose container is this one or not known yet.
      const own = this.allocations.handleOf(allocation)?.id ?? id;
      if (!this.allocations.has(allocation) || own !== id) this.#wake.call();
    }, this.#stop.signal);
    this.#loop = this.#run();
  }

  async close(): Promise<void> {
    this.#stop.abort();
    await this.#loop;
    await this.strays.close();
  }

  async #run(): Promise<void> {
    try {
      for (let look = 0; ; look += 1) {
        await this.#attempt('containers', async () => await this.lookForStrays());
        if (look % looks_per_sweep === 0) {
          await this.#attempt('spare things', async () => await this.spares.sweep(this.#stop.signal));
        }
        await this.clock.sleep(spacing_ms_min, this.#stop.signal);
        await this.#wake.wait(this.clock, look_ms, this.#stop.signal);
        this.#stop.signal.throwIfAborted();
      }
    } catch (error) {
      if (!isAbort(error)) throw error;
    }
  }

  /** One look. Returns once every stray has its lane; it does not wait for them to be gone. */
  async lookForStrays(): Promise<void> {
    const found = await this.driver.recover();
    const strays = this.#straysOf(found);
    for (const stray of strays.slice(0, strays_max)) {
      const gone = this.strays.remove(stray.handle, stray.tell);
      this.allocations.hold(stray.handle.account, gone);
    }
    for (const task of found.unreadable.slice(0, strays_max)) void this.strays.removeUnreadable(task);
  }

  /** Nothing is awaited between the records and the verdict: what began meanwhile is in them. */
  #straysOf({ handles }: Recovered): { handle: Recovered['handles'][number]; tell: boolean }[] {
    return handles.flatMap((handle) => {
      const { allocation, id } = handle;
      if (this.allocations.has(allocation)) {
        // Another container with the labels of a live one: copied, or made twice.
        const own = this.allocations.handleOf(allocation);
        return own === null || own.id === id ? [] : [{ handle, tell: false }];
      }
      const record = this.records.get(allocation);
      return record !== null && record.command !== null ? [] : [{ handle, tell: record === null }];
    });
  }

  async #attempt(what: string, work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      if (isAbort(error)) throw error;
      // Once more in a minute; a host whose engine is away has other worries.
      this.logger.warn({ err: error, what }, 'housekeeping could not look');
    }
  }
}

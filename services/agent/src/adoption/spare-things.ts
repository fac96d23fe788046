import { Inject, Injectable } from '@nestjs/common';
import { CLOCK, type Clock } from '#libs/clock';
import type { EventData } from '#libs/contracts';
import { LOGGER, type Logger } from '#libs/telemetry';
import { AGENT_CONFIG, type AgentConfig } from '../agent.config.js';
import { DRIVER, type Driver, type DriverStores } from '../drivers/driver.js';
import { EventSpool } from '#libs/spool';
import { Identity } from '../identity/identity.js';
import { AgentDatabase } from '../state/agent.database.js';
import { AllocationsRepository } from '../state/allocations.repository.js';
import { SparesRepository, type SpareKind } from '../state/spares.repository.js';
import { StrayContainers } from './stray-containers.js';

/** Things of a kind that one pass removes; the rest is for the next. */
const removals_max = 20;
const foreign_max = 100;
const names_max = 50;
const hour_ms = 3_600_000;

type Swept = EventData<'tradefleet.host.swept'>;

/**
 * What nobody needs any more: networks of ended allocations at once, volumes of accounts that have no bot here and
 * images that no runtime names after a time of their own. A volume may hold a terminal's profile, and an account may come
 * back, so it is kept for a week unless configured otherwise. With `housekeeping: report` nothing goes.
 */
@Injectable()
export class SpareThings {
  #reported = '';

  constructor(
    @Inject(DRIVER) private readonly driver: Driver,
    private readonly db: AgentDatabase,
    private readonly records: AllocationsRepository,
    private readonly spares: SparesRepository,
    private readonly strays: StrayContainers,
    private readonly spool: EventSpool,
    private readonly identity: Identity,
    @Inject(AGENT_CONFIG) private readonly config: AgentConfig,
    @Inject(CLOCK) private readonly clock: Clock,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  /** One pass, bounded in what it removes. Throws what the driver throws. */
  async sweep(signal: AbortSignal): Promise<void> {
    const networks = this.#dryRun ? 0 : await this.#sweepNetworks();
    const stores = this.driver.stores ?? null;
    const volumes = stores === null ? [] : await this.#sweepVolumes(stores, signal);
    const images = stores === null ? [] : await this.#sweepImages(stores, signal);
    await this.#tell({ networks, volumes, images });
  }

  get #dryRun(): boolean {
    return this.config.housekeeping === 'report';
  }

  async #sweepNetworks(): Promise<number> {
    return await this.driver.sweep({ has: (allocation) => this.#isLive(allocation) });
  }

  #isLive(allocation: string): boolean {
    return (this.records.get(allocation)?.command ?? null) !== null;
  }

  async #sweepVolumes(stores: DriverStores, signal: AbortSignal): Promise<string[]> {
    const { volumes, foreign } = await stores.survey();
    for (const task of foreign.slice(0, foreign_max)) await this.strays.report(task);
    const accounts = new Set(this.records.live().map((record) => record.account));
    const spare = volumes.filter(({ account, inUse }) => !inUse && !accounts.has(account));
    const due = await this.#due(
      'volume',
      spare.map(({ name }) => name),
      this.config.volumesKeepHours,
    );
    if (this.#dryRun) return due;
    const removed: string[] = [];
    for (const volume of spare.filter(({ name }) => due.includes(name)).slice(0, removals_max)) {
      signal.throwIfAborted();
      // Once more: a bot of the account may have come since the list was made.
      if (!this.records.hasLive(volume.account) && (await stores.removeVolume(volume)))
        removed.push(volume.name);
    }
    return removed;
  }

  /** Only what the agent has fetched itself, and no runtime of its configuration names. */
  async #sweepImages(stores: DriverStores, signal: AbortSignal): Promise<string[]> {
    await this.db.commit(() => {
      for (const reference of stores.fetched()) this.spares.own(reference);
    });
    const named = new Set(Object.values(this.config.images));
    const spare = this.spares.owned().filter((reference) => !named.has(reference));
    const due = await this.#due('image', spare, this.config.imagesKeepHours);
    if (this.#dryRun) return due;
    const removed: string[] = [];
    for (const reference of due.slice(0, removals_max)) {
      signal.throwIfAborted();
      if (!(await stores.removeImage(reference))) continue;
      await this.db.commit(() => this.spares.disown(reference));
      removed.push(reference);
    }
    return removed;
  }

  /** Remembers what is spare now, and gives what has been for long enough. */
  async #due(kind: SpareKind, names: readonly string[], keep_hours: number): Promise<string[]> {
    const now_ms = this.clock.wallMs();
    return await this.db.commit(() => {
      this.spares.replace(kind, names, now_ms);
      const due = this.spares.all(kind).filter(({ since_ms }) => now_ms - since_ms >= keep_hours * hour_ms);
      return due.map(({ name }) => name);
    });
  }

  async #tell(gone: {
    networks: number;
    volumes: readonly string[];
    images: readonly string[];
  }): Promise<void> {
    const { networks, volumes, images } = gone;
    if (networks + volumes.length + images.length === 0) return;
    const { host, actor } = this.identity;
    const names = [...volumes, ...images].slice(0, names_max);
    const data: Swept = {
      ...{ host, dryRun: this.#dryRun, networks, names },
      ...{ volumes: volumes.length, images: images.length },
    };
    // A dry run would say the same every ten minutes.
    const text = JSON.stringify(data);
    if (this.#dryRun && text === this.#reported) return;
    this.#reported = text;
    this.logger.warn(data, this.#dryRun ? 'spare things would be removed' : 'spare things are removed');
    await this.db.commit(() => {
      if (!this.spool.hasRoom) return;
      this.spool.append({ type: 'tradefleet.host.swept', subjectId: host, data, actor, traceparent: null });
    });
  }
}

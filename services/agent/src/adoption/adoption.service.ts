import { Inject, Injectable } from '@nestjs/common';
import { CLOCK, type Clock } from '#libs/clock';
import { LOGGER, type Logger } from '#libs/telemetry';
import { AllocationJournal } from '../allocations/allocation.journal.js';
import { isStarted, type AllocationRecord, type StartedRecord } from '../allocations/allocation.record.js';
import { AllocationsService } from '../allocations/allocations.service.js';
import { DRIVER, type Driver, type TaskHandle, type TaskStatus } from '../drivers/driver.js';
import { isAbort } from '../errors.js';
import { readBootId } from '../host/boot-id.js';
import { Identity } from '../identity/identity.js';
import { RUN_FILES, type RunFiles } from '../run-files/run-files.js';
import { AgentDatabase } from '../state/agent.database.js';
import { AllocationsRepository } from '../state/allocations.repository.js';
import { FactsRepository } from '../state/facts.repository.js';
import { adoptionVerdict, type Verdict } from './adoption.verdict.js';
import { StrayContainers } from './stray-containers.js';

type Container = { readonly handle: TaskHandle; readonly status: TaskStatus };

const pause_ms_first = 500;
const pause_ms_max = 10_000;
/** Less than a lease: those who live need theirs renewed. */
const strays_ms_max = 5_000;
const inspect_ms_max = 3_000;

const isAlive = ({ state }: TaskStatus): boolean => state === 'running' || state === 'paused';

/**
 * What an agent does before it takes its first command: every container on the host is adopted or killed, and every
 * allocation it remembers has a container, goes on being prepared, or is told to have ended. Needs no broker.
 */
@Injectable()
export class AdoptionService {
  constructor(
    @Inject(DRIVER) private readonly driver: Driver,
    private readonly db: AgentDatabase,
    private readonly facts: FactsRepository,
    private readonly records: AllocationsRepository,
    private readonly journal: AllocationJournal,
    private readonly allocations: AllocationsService,
    private readonly strays: StrayContainers,
    private readonly identity: Identity,
    @Inject(RUN_FILES) private readonly files: RunFiles,
    @Inject(CLOCK) private readonly clock: Clock,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  /** Tries until the driver can say what runs. Rejects when the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const sameBoot = await this.#recogniseBoot();
    const strays: Promise<void>[] = [];
    const containers = await this.#containers(strays, signal);
    // Before anything goes on: what is stray keeps its account from being begun.
    strays.push(...containers.map(async (container) => await this.#removeUnowned(container)));
    for (const record of this.records.live()) {
      if (!isStarted(record)) continue;
      const [container = null, ...copies] = containers.filter(
        ({ handle }) => handle.allocation === record.id,
      );
      strays.push(...copies.map(async ({ handle }) => await this.#removeStray(handle, false)));
      await this.#decide(this.#withItsStop(record), container, sameBoot);
    }
    await this.#within(Promise.all(strays), signal);
    await this.#removeLeftovers();
  }

  /** What cannot be killed yet keeps its own account from being begun, and no other bot from its lease. */
  async #within(strays: Promise<unknown>, signal: AbortSignal): Promise<void> {
    const enough = new AbortController();
    const late = this.clock.sleep(strays_ms_max, AbortSignal.any([signal, enough.signal])).then(
      () => this.logger.error({ waited_ms: strays_ms_max }, 'stray containers are still alive'),
      () => undefined,
    );
    await Promise.race([strays, late]);
    enough.abort();
    signal.throwIfAborted();
  }

  /** False after a boot, which ends leases and undoes what hooks did. */
  async #recogniseBoot(): Promise<boolean> {
    const bootId = await readBootId(this.identity.incarnation);
    if (this.facts.get('boot-id') === bootId) return true;
    await this.db.commit(() => {
      this.facts.set('boot-id', bootId);
      this.records.forgetHooks();
    });
    return false;
  }

  /** What is on the host, whatever its state; what cannot be understood is added to the strays. */
  async #containers(strays: Promise<void>[], signal: AbortSignal): Promise<Container[]> {
    for (let pause_ms = pause_ms_first; ; pause_ms = Math.min(pause_ms * 2, pause_ms_max)) {
      signal.throwIfAborted();
      try {
        const { handles, unreadable, alive } = await this.driver.recover();
        for (const task of unreadable) strays.push(this.strays.removeUnreadable(task));
        const containers = await Promise.all(
          handles.map(async (handle) => ({ handle, status: await this.#statusOf(handle, alive) })),
        );
        // One that runs before others with the same labels: it is what its lease is about.
        return containers.sort((a, b) => Number(isAlive(b.status)) - Number(isAlive(a.status)));
      } catch (error) {
        if (isAbort(error)) throw error;
        this.logger.error({ err: error }, 'the driver cannot say what runs');
      }
      await this.clock.sleep(pause_ms, signal);
    }
  }

  /**
   * Whether it runs the list has told, mostly. How it ended has to be looked at, and one that the engine does not answer
   * about must not keep all the others from their leases: then it has ended, nobody knows how, and is killed to be sure.
   */
  async #statusOf(handle: TaskHandle, alive: ReadonlySet<string> | undefined): Promise<TaskStatus> {
    const unknown = { exitCode: null, outOfMemory: false, startedAt: null, finishedAt: null };
    if (alive?.has(handle.id) === true) return { state: 'running', ...unknown };
    const enough = new AbortController();
    const late = this.clock.sleep(inspect_ms_max, enough.signal).then(
      () => ({ state: 'exited', ...unknown }) as const,
      () => ({ state: 'exited', ...unknown }) as const,
    );
    const looked = this.driver.inspect(handle).catch((error: unknown) => {
      this.logger.error({ err: error, allocation: handle.allocation }, 'container could not be looked at');
      return { state: 'exited', ...unknown } as const;
    });
    try {
      return await Promise.race([looked, late]);
    } finally {
      enough.abort();
    }
  }

  async #removeUnowned(container: Container): Promise<void> {
    const record = this.records.get(container.handle.allocation);
    const verdict = adoptionVerdict({ record, container, leaseLeft_ms: null });
    if (verdict.kind === 'remove') await this.#removeStray(container.handle, verdict.tell);
  }

  async #removeStray(handle: TaskHandle, tell: boolean): Promise<void> {
    const gone = this.strays.remove(handle, tell);
    this.allocations.hold(handle.account, gone);
    await gone;
  }

  /**
   * One that was being stopped goes on being stopped, also when no command had asked for it (a shutdown of the agent, a
   * heartbeat): such a wish is not written down, but the state is. Adopted without it, the bot would trade on.
   */
  #withItsStop(record: StartedRecord): StartedRecord {
    if (record.state !== 'stopping' || record.stop !== null) return record;
    const reason = record.reason ?? 'asked';
    const graceMs = reason === 'stale-epoch' ? 0 : record.command.stopGraceMs;
    return { ...record, stop: { reason, graceMs, actor: this.identity.actor, detail: record.detail } };
  }

  async #decide(record: StartedRecord, container: Container | null, sameBoot: boolean): Promise<void> {
    const lease = sameBoot ? await this.#lease(record) : null;
    const leaseLeft_ms = lease === null ? null : lease - this.clock.boottimeMs();
    const verdict = adoptionVerdict({ record, container, leaseLeft_ms });
    this.logger.info(
      {
        allocation: record.id,
        account: record.account,
        epoch: record.epoch,
        verdict: verdict.kind,
        leaseLeft_ms,
      },
      'allocation found again',
    );
    await this.#act(record, container?.handle ?? null, verdict, lease);
  }

  async #act(
    record: StartedRecord,
    handle: TaskHandle | null,
    verdict: Verdict,
    deadlineMs: number | null,
  ): Promise<void> {
    switch (verdict.kind) {
      case 'adopt': {
        if (handle === null) throw new Error('There is nothing to adopt.');
        const adopted = await this.journal.adopted(record, verdict.state);
        this.allocations.begin(
          { ...adopted, command: record.command },
          { kind: 'adopted', handle, deadlineMs },
        );
        return;
      }
      case 'resume':
        this.allocations.begin(record, { kind: 'run', left: handle });
        return;
      case 'end': {
        const { reason, detail, exitCode, leaseLives } = verdict;
        if (leaseLives && record.stop === null) {
          const end = { reason, detail, exitCode, hopeless: false };
          this.allocations.begin(record, { kind: 'ended', handle, deadlineMs, end });
          return;
        }
        // Somebody had asked for the end already: that is what it is.
        const ending =
          record.stop === null
            ? ({ state: 'failed', reason, detail, exitCode, graceMs: 0, actor: this.identity.actor } as const)
            : ({ ...record.stop, state: 'stopped', exitCode, graceMs: 0 } as const);
        this.allocations.begin({ ...record, stop: null }, { kind: 'over', handle, ending });
        return;
      }
      case 'remove':
        throw new Error('A live allocation is not a stray one.');
    }
  }

  /** Deadline of the lease the container goes by, on CLOCK_BOOTTIME; null when there is none for this epoch. */
  async #lease(record: AllocationRecord): Promise<number | null> {
    const lease = (await this.files?.readLease(record.id)) ?? null;
    const same = lease?.allocation === record.id && lease.epoch === record.epoch;
    return same ? lease.deadlineBoottimeMs : null;
  }

  async #removeLeftovers(): Promise<void> {
    const live = new Set(this.records.live().map((record) => record.id));
    try {
      const removed = await this.driver.sweep(live);
      if (removed > 0) this.logger.warn({ removed }, 'leftovers of ended allocations are removed');
    } catch (error) {
      // They hold no account; the next start tries again.
      this.logger.warn({ err: error }, 'leftovers of ended allocations could not be removed');
    }
    if (this.files === null) return;
    for (const allocation of await this.files.list()) {
      if (live.has(allocation)) continue;
      this.logger.warn({ allocation }, 'runtime directory of no allocation is removed');
      await this.files.remove(allocation);
    }
  }
}

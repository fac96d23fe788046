import { Inject, Injectable } from '@nestjs/common';
import { CLOCK, type Clock } from '#libs/clock';
import type { EventData } from '#libs/contracts';
import { LOGGER, type Logger } from '#libs/telemetry';
import { AGENT_CONFIG, type AgentConfig } from '../agent.config.js';
import { firstAttempt } from '../allocations/allocation.attempts.js';
import {
  DRIVER,
  type Driver,
  type ForeignTask,
  type TaskHandle,
  type TaskRef,
  type UnreadableTask,
} from '../drivers/driver.js';
import { isAbort, oneLine } from '../errors.js';
import { EventSpool } from '#libs/spool';
import { Identity } from '../identity/identity.js';
import { AgentDatabase } from '../state/agent.database.js';
import { AllocationsRepository } from '../state/allocations.repository.js';
import { FencesRepository } from '../state/fences.repository.js';

const pause_ms_first = 500;
const pause_ms_max = 60_000;
/** Tries to remove what is dead; after them it is left to the next pass of housekeeping. */
const removals_max = 5;
/** Containers that were told of, remembered so that each is told of once. */
const told_max = 10_000;

type Stray = EventData<'tradefleet.host.stray-found'>;

/**
 * Containers of this host that no live allocation owns. Each is killed in a lane of its own, however long that takes:
 * until then it may be trading. Nobody waits for it but what wants the same account.
 */
@Injectable()
export class StrayContainers {
  readonly #lanes = new Map<string, Promise<void>>();
  readonly #told = new Set<string>();
  readonly #closing = new AbortController();

  constructor(
    @Inject(DRIVER) private readonly driver: Driver,
    private readonly db: AgentDatabase,
    private readonly records: AllocationsRepository,
    private readonly fences: FencesRepository,
    private readonly spool: EventSpool,
    private readonly identity: Identity,
    @Inject(AGENT_CONFIG) private readonly config: AgentConfig,
    @Inject(CLOCK) private readonly clock: Clock,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  /**
   * Kills one that a handle names, and removes it if so configured; `tell` reports the end of an allocation nobody here
   * knew, once it is dead. Resolves when it is dead, or when the agent ends. Never rejects.
   */
  async remove(handle: TaskHandle, tell: boolean): Promise<void> {
    const { allocation, account, epoch } = handle;
    const detail = `It runs for allocation ${allocation} of account ${account}, epoch ${epoch}, which this host ${tell ? 'does not know' : 'has ended'}.`;
    await this.#lane(handle, async () => {
      this.logger.warn({ allocation, account, known: !tell }, 'stray container is removed');
      await this.#kill(handle);
      if (tell) await this.#tellEnd(handle);
      await this.#afterwards(handle, { kind: 'unknown', name: `bot-${account}`, detail });
    });
  }

  /** The same for one that is ours and cannot be understood. */
  async removeUnreadable({ id, why }: UnreadableTask): Promise<void> {
    await this.#lane({ id }, async () => {
      this.logger.error({ container: id, why }, 'container that cannot be understood is removed');
      await this.#kill({ id });
      await this.#afterwards({ id }, { kind: 'unreadable', name: null, detail: why });
    });
  }

  /** Tells of one that is not this fleet's, once. */
  async report({ id, name, why }: ForeignTask): Promise<void> {
    await this.#tell({ kind: 'foreign', container: id, name, action: 'reported', detail: why });
  }

  /** Lets go; the next agent finds them again. */
  async close(): Promise<void> {
    this.#closing.abort();
    await Promise.all(this.#lanes.values());
  }

  async #lane({ id }: TaskRef, work: () => Promise<void>): Promise<void> {
    const lane =
      this.#lanes.get(id) ??
      work()
        .catch((error: unknown) => {
          if (!isAbort(error))
            this.logger.error({ err: error, container: id }, 'stray container met a defect');
        })
        .finally(() => this.#lanes.delete(id));
    this.#lanes.set(id, lane);
    await lane;
  }

  async #kill(task: TaskRef): Promise<void> {
    const { signal } = this.#closing;
    for (let pause_ms = pause_ms_first; ; pause_ms = Math.min(pause_ms * 2, pause_ms_max)) {
      signal.throwIfAborted();
      try {
        await this.driver.kill(task);
        return;
      } catch (error) {
        this.logger.error({ err: error, container: task.id }, 'stray container could not be killed');
        await this.clock.sleep(pause_ms, signal);
      }
    }
  }

  /** It is dead and harms nobody any more; the account's name on this engine is free once it is removed. */
  async #afterwards(task: TaskRef, stray: Pick<Stray, 'kind' | 'name' | 'detail'>): Promise<void> {
    const removed = this.config.strayContainers === 'remove' && (await this.#removed(task));
    await this.#tell({ ...stray, container: task.id, action: removed ? 'removed' : 'killed' });
  }

  async #removed(task: TaskRef): Promise<boolean> {
    for (let tries = 1; tries <= removals_max; tries += 1) {
      try {
        await this.driver.destroy(task);
        return true;
      } catch (error) {
        this.logger.error({ err: error, container: task.id }, 'stray container could not be removed');
        if (tries < removals_max) await this.clock.sleep(pause_ms_first * 2 ** tries, this.#closing.signal);
      }
    }
    return false;
  }

  async #tell(stray: Omit<Stray, 'host'>): Promise<void> {
    const key = `${stray.container} ${stray.action}`;
    if (this.#told.has(key)) return;
    const { host, actor } = this.identity;
    const container = stray.container.slice(0, 128);
    const name = stray.name?.slice(0, 300) ?? null;
    const data = { ...stray, host, container, name, detail: oneLine(stray.detail) };
    await this.db.commit(() => {
      // Nobody's life hangs on it: what has no room now is told by a later pass.
      if (!this.spool.hasRoom) return;
      this.spool.append({
        type: 'tradefleet.host.stray-found',
        subjectId: host,
        data,
        actor,
        traceparent: null,
      });
      this.#remember(key);
    });
  }

  #remember(key: string): void {
    this.#told.add(key);
    const [oldest] = this.#told;
    if (this.#told.size > told_max && oldest !== undefined) this.#told.delete(oldest);
  }

  /** The state was lost, or is another's: the scheduler may still count on the allocation. */
  async #tellEnd(handle: TaskHandle): Promise<void> {
    const { allocation, account, epoch, tenant, bot } = handle;
    const state = 'failed';
    const reason = 'unknown-to-host';
    const detail = 'The agent found its container and knew nothing of it.';
    await this.db.commit(() => {
      // Its command has come while it was being killed: an end told now would give away what is about to be started.
      if (this.records.get(allocation) !== null) return;
      this.records.save(
        {
          ...{ id: allocation, account, epoch, command: null, state, stage: null, attempts: firstAttempt },
          ...{ reason, detail, exitCode: null, stop: null, traceparent: null },
        },
        this.clock.wallMs(),
      );
      this.fences.raise(account, epoch);
      this.spool.append({
        type: 'tradefleet.allocation.failed',
        subjectId: allocation,
        data: {
          ...{
            allocation,
            tenant,
            bot,
            account,
            host: this.identity.host,
            epoch,
            state,
            stage: null,
            attempt: 1,
          },
          ...{ reason, detail, exitCode: null },
        },
        actor: this.identity.actor,
        traceparent: null,
      });
    });
  }
}

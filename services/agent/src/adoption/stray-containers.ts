import { Inject, Injectable } from '@nestjs/common';
import { CLOCK, type Clock } from '#libs/clock';
import { LOGGER, type Logger } from '#libs/telemetry';
import {
  DRIVER,
  type Driver,
  type TaskHandle,
  type TaskRef,
  type UnreadableTask,
} from '../drivers/driver.js';
import { EventSpool } from '../events/event-spool.js';
import { Identity } from '../identity/identity.js';
import { AgentDatabase } from '../state/agent.database.js';
import { AllocationsRepository } from '../state/allocations.repository.js';
import { FencesRepository } from '../state/fences.repository.js';

const pause_ms_first = 500;
const pause_ms_max = 10_000;

/** Containers with this host's labels that no live allocation owns. */
@Injectable()
export class StrayContainers {
  constructor(
    @Inject(DRIVER) private readonly driver: Driver,
    private readonly db: AgentDatabase,
    private readonly records: AllocationsRepository,
    private readonly fences: FencesRepository,
    private readonly spool: EventSpool,
    private readonly identity: Identity,
    @Inject(CLOCK) private readonly clock: Clock,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  /** Kills and removes one that a handle names; `tell` reports the end of an allocation nobody here knew. */
  async remove(handle: TaskHandle, tell: boolean, signal: AbortSignal): Promise<void> {
    const { allocation, account } = handle;
    this.logger.warn({ allocation, account, known: !tell }, 'stray container is removed');
    await this.#away(handle, signal);
    if (tell) await this.#tell(handle);
  }

  /** Kills and removes one that is ours and cannot be understood. */
  async removeUnreadable({ id, why }: UnreadableTask, signal: AbortSignal): Promise<void> {
    this.logger.error({ container: id, why }, 'container that cannot be understood is removed');
    await this.#away({ id }, signal);
  }

  /** However long it takes: until then it may be trading. */
  async #away(task: TaskRef, signal: AbortSignal): Promise<void> {
    for (let pause_ms = pause_ms_first; ; pause_ms = Math.min(pause_ms * 2, pause_ms_max)) {
      signal.throwIfAborted();
      try {
        await this.driver.kill(task);
        await this.driver.destroy(task);
        return;
      } catch (error) {
        this.logger.error({ err: error, container: task.id }, 'stray container could not be removed');
        await this.clock.sleep(pause_ms, signal);
      }
    }
  }

  /** The state was lost, or is another's: the scheduler may still count on the allocation. */
  async #tell(handle: TaskHandle): Promise<void> {
    const { allocation, account, epoch, tenant, bot } = handle;
    const state = 'failed';
    const reason = 'unknown-to-host';
    const detail = 'The agent found its container and knew nothing of it.';
    await this.db.commit(() => {
      this.records.save(
        {
          id: allocation,
          account,
          epoch,
          command: null,
          state,
          stage: null,
          reason,
          detail,
          exitCode: null,
          stop: null,
          traceparent: null,
        },
        this.clock.wallMs(),
      );
      this.fences.raise(account, epoch);
      this.spool.append({
        type: 'tradefleet.allocation.failed',
        subjectId: allocation,
        data: {
          allocation,
          tenant,
          bot,
          account,
          host: this.identity.host,
          epoch,
          state,
          stage: null,
          reason,
          detail,
          exitCode: null,
        },
        actor: this.identity.actor,
        traceparent: null,
      });
    });
  }
}

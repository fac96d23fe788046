import { Inject, Injectable } from '@nestjs/common';
import { CLOCK, type Clock } from '#libs/clock';
import { LOGGER, type Logger } from '#libs/telemetry';
import { AGENT_CONFIG, type AgentConfig } from '../agent.config.js';
import { DRIVER, type Driver, type TaskHandle } from '../drivers/driver.js';
import { AgentDatabase } from '../state/agent.database.js';
import { LastLogsRepository, type LastLines } from '../state/last-logs.repository.js';

const lines_max = 200;
/** A removal waits no longer for the log of what it removes. */
const read_ms_max = 5000;
const hour_ms = 3_600_000;

/** Saves the last lines of a bot before its container is removed: why it ended is mostly in them. */
@Injectable()
export class LastLogs {
  constructor(
    @Inject(DRIVER) private readonly driver: Driver,
    private readonly db: AgentDatabase,
    private readonly repository: LastLogsRepository,
    @Inject(AGENT_CONFIG) private readonly config: AgentConfig,
    @Inject(CLOCK) private readonly clock: Clock,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  /** Bounded in time, and never throws: without its log a container is removed all the same. */
  async save(handle: TaskHandle): Promise<void> {
    if (this.config.lastLogsKeepHours === 0) return;
    const enough = new AbortController();
    const late = this.clock.sleep(read_ms_max, enough.signal).then(
      () => null,
      () => null,
    );
    try {
      const lines = await Promise.race([this.driver.logs(handle, lines_max), late]);
      if (lines === null || lines.length === 0) return;
      const wall_ms = this.clock.wallMs();
      await this.db.commit(() => {
        this.repository.keep(
          handle.allocation,
          lines.map(({ at, stream, text }) => ({ at, stream, text })),
          wall_ms,
        );
        this.repository.prune(wall_ms - this.config.lastLogsKeepHours * hour_ms);
      });
    } catch (error) {
      this.logger.warn({ err: error, allocation: handle.allocation }, 'the last lines of a bot are lost');
    } finally {
      enough.abort();
    }
  }

  /** The last `lines` that were saved; null when there are none. */
  read(allocation: string, lines: number): LastLines | null {
    return this.repository.get(allocation)?.slice(-lines) ?? null;
  }
}

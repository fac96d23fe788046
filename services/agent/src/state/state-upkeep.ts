import { Inject, Injectable } from '@nestjs/common';
import { CLOCK, type Clock } from '#libs/clock';
import { LOGGER, type Logger } from '#libs/telemetry';
import { AGENT_CONFIG, type AgentConfig } from '../agent.config.js';
import { isAbort } from '../errors.js';
import { AgentDatabase } from './agent.database.js';
import { AllocationsRepository } from './allocations.repository.js';
import { CommandsRepository } from './commands.repository.js';
import { LastLogsRepository } from './last-logs.repository.js';
import { PreparationsRepository } from './preparations.repository.js';

const interval_ms = 10 * 60 * 1000;
const hour_ms = 3_600_000;

/** Keeps the state file small: forgets what can no longer matter. */
@Injectable()
export class StateUpkeep {
  readonly #stop = new AbortController();
  #loop: Promise<void> | null = null;

  constructor(
    private readonly db: AgentDatabase,
    private readonly commands: CommandsRepository,
    private readonly allocations: AllocationsRepository,
    private readonly preparations: PreparationsRepository,
    private readonly lastLogs: LastLogsRepository,
    @Inject(AGENT_CONFIG) private readonly config: Pick<AgentConfig, 'lastLogsKeepHours'>,
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

  async #run(): Promise<void> {
    try {
      for (;;) {
        await this.#prune();
        await this.clock.sleep(interval_ms, this.#stop.signal);
      }
    } catch (error) {
      if (!isAbort(error)) throw error;
    }
  }

  async #prune(): Promise<void> {
    try {
      await this.db.commit(() => {
        const wall_ms = this.clock.wallMs();
        this.commands.prune(wall_ms);
        this.allocations.prune(wall_ms);
        this.preparations.prune(wall_ms);
        this.lastLogs.prune(wall_ms - this.config.lastLogsKeepHours * hour_ms);
      });
    } catch (error) {
      this.logger.error({ err: error }, 'old state could not be removed');
    }
  }
}

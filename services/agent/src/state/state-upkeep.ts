import { Inject, Injectable } from '@nestjs/common';
import { CLOCK, type Clock } from '#libs/clock';
import { LOGGER, type Logger } from '#libs/telemetry';
import { isAbort } from '../errors.js';
import { AgentDatabase } from './agent.database.js';
import { AllocationsRepository } from './allocations.repository.js';
import { CommandsRepository } from './commands.repository.js';
import { PreparationsRepository } from './preparations.repository.js';

const interval_ms = 10 * 60 * 1000;

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
        this.commands.prune(this.clock.wallMs());
        this.allocations.prune(this.clock.wallMs());
        this.preparations.prune(this.clock.wallMs());
      });
    } catch (error) {
      this.logger.error({ err: error }, 'old state could not be removed');
    }
  }
}

import type { Clock } from '#libs/clock';
import { SqliteFile } from '#libs/spool';
import type { Logger } from '#libs/telemetry';
import { StartupFault, StateUnavailable } from '../errors.js';
import { schemaSteps } from './agent.schema.js';
import { damagedState, stateFileFault } from './state-file.fault.js';

/** Longer than an agent that lets go of its bots takes to end. */
const held_ms_max = 15_000;
const held_pause_ms = 500;

export interface StateWait {
  readonly clock: Clock;
  readonly logger: Logger;
  /** Ends the wait. */
  readonly signal?: AbortSignal | undefined;
}

/** The agent's durable memory: one SQLite file, one agent. A second one on the same state would take the same commands twice. */
export class AgentDatabase extends SqliteFile {
  /**
   * Opens the file, waiting a while for another process to let go of it: an agent that is being replaced may still end.
   * @throws StateUnavailable, StartupFault as the constructor does; AbortError when the signal ends the wait
   */
  static async open(path: string, { clock, logger, signal }: StateWait): Promise<AgentDatabase> {
    const enough_ms = clock.monotonicMs() + held_ms_max;
    for (let told = false; ; told = true) {
      try {
        return new AgentDatabase(path);
      } catch (error) {
        const waits = error instanceof StateUnavailable && error.held && clock.monotonicMs() < enough_ms;
        if (!waits) throw error;
        if (!told) logger.warn({ err: error, waitMsMax: held_ms_max }, 'waiting for the state file');
      }
      await clock.sleep(held_pause_ms, signal);
    }
  }

  /**
   * @throws StateUnavailable when another start may go better: the file is held, the disk is full or fails
   * @throws StartupFault when a person must act: the file is damaged, of a newer agent, or not this user's to write
   */
  constructor(path: string) {
    super({
      path,
      steps: schemaSteps,
      faults: {
        newer: (found, known) =>
          new StartupFault(
            `The state file ${path} was written by a newer agent: it has schema ${found}, this agent knows up to ${known}. ` +
              'Install the newer agent again; an older one would not understand what it must keep.',
          ),
        // Fences in pages that cannot be read must be missed now, not when a command comes that they would have refused.
        damaged: (why) => damagedState(path, why),
        unusable: (cause) => stateFileFault(path, cause),
      },
    });
  }
}

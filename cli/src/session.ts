import type { Command } from 'commander';
import { type ExitCode, exitCodeOf, exitCodes, Interrupted } from './exit.codes.js';
import { FleetGateway } from './fleet.gateway.js';
import { type GatewayOptions, gatewaySettings } from './gateway.settings.js';
import { Printer } from './output/printer.js';
import type { Surroundings } from './surroundings.js';

/** Options that every command takes. */
export interface GlobalOptions extends GatewayOptions {
  readonly json?: boolean;
}

/** What a command works with. */
export interface Session {
  /** Reading it throws `UsageError` or `NoFleetError` where there is none. */
  readonly gateway: FleetGateway;
  readonly printer: Printer;
  readonly surroundings: Surroundings;
}

/** A command's work; answers with an exit code when it is not 0. */
export type Work = (session: Session) => Promise<ExitCode | undefined>;
/** Runs a command's work with what its options name, and turns what it throws into a message and an exit code. */
export type Perform = (command: Command, work: Work) => Promise<void>;

export function performer(surroundings: Surroundings, end: (code: ExitCode) => void): Perform {
  return async (command, work) => {
    const options = command.optsWithGlobals<GlobalOptions>();
    const printer = new Printer(surroundings, options.json ?? false);
    try {
      let gateway: FleetGateway | null = null;
      const done = work({
        // Made when it is used: some work needs no fleet.
        get gateway() {
          gateway ??= new FleetGateway(gatewaySettings(options, surroundings), surroundings, printer);
          return gateway;
        },
        printer,
        surroundings,
      });
      end((await Promise.race([done, interruption(surroundings.interrupted)])) ?? exitCodes.ok);
    } catch (error) {
      // Whoever pressed Ctrl-C knows.
      if (!(error instanceof Interrupted)) printer.problem(error);
      end(exitCodeOf(error) ?? exitCodes.problem);
    }
  };
}

/** Never resolves; rejects with `Interrupted` when the signal aborts. */
function interruption(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    const stop = () => reject(new Interrupted('Interrupted.'));
    if (signal.aborted) stop();
    else signal.addEventListener('abort', stop, { once: true });
  });
}

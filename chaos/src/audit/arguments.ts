import type { Command } from 'commander';
import { kills_min } from './kill.planner.js';

export interface AuditChaosArguments {
  readonly events: number;
  readonly kills: number;
  readonly seed: number;
  readonly state: string;
  readonly keep: boolean;
  readonly json: boolean;
  readonly selfTest: boolean;
}

type Parse = (least: number, most: number) => (text: string) => number;

const events_min = 1000;
const events_max = 10_000_000;
const kills_max = 1000;

/** `chaos audit`: needs neither root nor Docker. @param parse of whole numbers */
export function auditChaosCommand(
  command: Command,
  integer: Parse,
  seed_end: number,
  action: (options: AuditChaosArguments) => Promise<void>,
): void {
  command
    .description(
      'Kills audit service, NATS and Postgres while events are written, deletes the JetStream store once, and looks for every event.',
    )
    .option(
      '--events <n>',
      `written by all producers together (${events_min} to ${events_max})`,
      integer(events_min, events_max),
      20_000,
    )
    .option('--kills <n>', `(${kills_min} to ${kills_max})`, integer(kills_min, kills_max), 8)
    .option(
      '--seed <n>',
      'the same seed draws the same kills; without one it is drawn and printed',
      integer(0, seed_end - 1),
    )
    .option('--state <folder>', 'where everything is kept, from the repository', '.tradefleet/chaos-audit')
    .option('--keep', 'leave databases and keys in the state folder at the end, too', false)
    .option('--self-test', 'remove one record at the end: comparison and verification must find it', false)
    .option('--json', 'the result as JSON on stdout; progress goes to stderr', false)
    .action(async (options: Omit<AuditChaosArguments, 'seed'> & { seed?: number }) => {
      await action({ ...options, seed: options.seed ?? Date.now() % seed_end });
    });
}

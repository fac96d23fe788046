import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { repositoryRoot } from '#libs/testing';
import type { AuditFleet } from '../../../bench/src/audit/audit.fleet.js';

const run = promisify(execFile);
const command_ms_max = 600_000;
const output_bytes_max = 16 * 1024 ** 2;

/** Exports the whole log by the command line, and has it verified by files alone, against what the witness has seen. */
export class OfflineVerification {
  private readonly cli = join(repositoryRoot(), 'cli', 'bin', 'tradefleet.mjs');

  constructor(private readonly fleet: AuditFleet) {}

  /** @returns what `tradefleet audit verify` said. Throws when it found fault, with what it said. */
  async run(): Promise<string> {
    await this.fleet.startService('gateway');
    const file = this.fleet.path('log.ndjson');
    await this.tradefleet([
      ...['--gateway', this.fleet.gatewayUrl, '--token-file', this.fleet.tokenFile],
      ...['audit', 'export', '--out', file],
    ]);
    const key = await this.fleet.logKeyFile();
    const said = await this.tradefleet([
      ...['audit', 'verify', file, '--against', this.fleet.witness, '--key', key],
    ]);
    return said.trim();
  }

  private async tradefleet(args: readonly string[]): Promise<string> {
    try {
      const { stdout } = await run(process.execPath, [this.cli, ...args], {
        ...{ timeout: command_ms_max, maxBuffer: output_bytes_max },
        env: { PATH: process.env['PATH'] },
      });
      return stdout;
    } catch (error) {
      const { stdout = '', stderr = '' } = error as { stdout?: string; stderr?: string };
      throw new Error(`tradefleet ${args.join(' ')} failed: ${stdout}${stderr}`, { cause: error });
    }
  }
}

import { chmodSync, mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Program } from './driver.harness.js';

/** The program of a run directory, run in place of the supervisor. */
export const PROGRAM = 'program.py';

export const programs: Record<Program, string> = {
  runs: `
import signal, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
print("bot started", flush=True)
while True: signal.pause()
`,
  'ignores-sigterm': `
import signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("bot started", flush=True)
while True: signal.pause()
`,
  'ends-with-3': 'raise SystemExit(3)',
};

/** A run directory with a program in it, readable by whatever user the bot gets. */
export function runDirWith(program: string): string {
  const dir = mkdtempSync(join(tmpdir(), 'tradefleet-run-'));
  chmodSync(dir, 0o755);
  writeFileSync(join(dir, PROGRAM), program, { mode: 0o644 });
  mkdirSync(join(dir, 'out'));
  chmodSync(join(dir, 'out'), 0o777);
  return dir;
}

import type { Driver, DriverLog, TaskSpec } from '../driver.js';

/** What the bot of a contract test does. */
export type Program =
  | 'runs' // says "bot started", then until SIGTERM, and ends with 0
  | 'ignores-sigterm' // until SIGKILL
  | 'ends-with-3'; // at once

/** Real tasks under one driver, for the contract that all drivers keep. */
export interface DriverHarness {
  /** A driver as of a freshly started agent. All of a harness work on one engine. */
  driver(host: string): Driver;
  /** A task nothing has been prepared for, with a run directory when the driver uses one. */
  task(program: Program, fields?: Partial<TaskSpec>): TaskSpec;
  /** Removes everything that was made. */
  close(): Promise<void>;
}

/** Notes what drivers say without a caller, for assertions. */
export class NotedLog implements DriverLog {
  readonly notes: { readonly fields: object; readonly message: string }[] = [];

  info(fields: object, message: string): void {
    this.notes.push({ fields, message });
  }

  warn(fields: object, message: string): void {
    this.notes.push({ fields, message });
  }
}

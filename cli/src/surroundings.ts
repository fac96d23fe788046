import type { Clock } from '#libs/clock';
import type { Readable, Writable } from 'node:stream';

/** Standard input as the command line uses it; a terminal can turn its echo off. */
export type Input = Readable & { isTTY?: boolean; setRawMode?: (raw: boolean) => unknown };
/** Standard output or standard error. */
export type Output = Writable & { isTTY?: boolean; columns?: number };

/** All that the command line takes from the process it runs in. */
export interface Surroundings {
  readonly stdin: Input;
  readonly stdout: Output;
  readonly stderr: Output;
  readonly env: NodeJS.ProcessEnv;
  readonly cwd: string;
  /** The checkout this program belongs to; its local fleet is the default one. */
  readonly repositoryRoot: string;
  readonly clock: Clock;
  /** Aborts at Ctrl-C. */
  readonly interrupted: AbortSignal;
}

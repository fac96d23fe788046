import { createHash } from 'node:crypto';
import { runtimeRef, type RuntimeRef } from '#libs/contracts';
import type { DriverFault, TaskSpec } from '../driver.js';

/** What becomes of one simulated task. Times are milliseconds of the injected clock. */
export interface Behaviour {
  readonly start_ms: number;
  readonly stop_ms: number;
  /** When false, only SIGKILL ends it. */
  readonly obeysSigterm: boolean;
  /** Fails the start instead. */
  readonly startFault: DriverFault | null;
  /** How it ends by itself, or null. */
  readonly exit: {
    readonly after_ms: number;
    readonly exitCode: number;
    readonly outOfMemory: boolean;
  } | null;
}

export interface Range {
  readonly min_ms: number;
  readonly max_ms: number;
}

/** Distributions to draw behaviours from. Probabilities are from 0 to 1. */
export interface BehaviourOptions {
  readonly seed: number;
  /** Default: 50 to 300 ms, as a hardened container on an idle engine. */
  readonly start?: Range;
  readonly stop?: Range;
  readonly startFailures?: number;
  readonly exits?: number;
  readonly exitAfter?: Range;
  /** Of those that end by themselves. */
  readonly outOfMemory?: number;
}

const SIGKILLED = 137;
const INTERNAL_ERROR = 70;

/**
 * A behaviour for each task that depends on seed, allocation and attempt alone: the same run comes out again from the
 * same seed, in whatever order things happen.
 */
export function seededBehaviour(options: BehaviourOptions): (task: TaskSpec, attempt: number) => Behaviour {
  const {
    start = { min_ms: 50, max_ms: 300 },
    stop = { min_ms: 10, max_ms: 100 },
    exitAfter = { min_ms: 1_000, max_ms: 60_000 },
    startFailures = 0,
    exits = 0,
    outOfMemory = 0,
  } = options;
  return (task, attempt) => {
    const draw = (what: string): number => fraction(`${options.seed}/${task.allocation}/${attempt}/${what}`);
    const within = (range: Range, what: string): number =>
      Math.round(range.min_ms + draw(what) * (range.max_ms - range.min_ms));
    const killed = draw('memory') < outOfMemory;
    return {
      start_ms: within(start, 'start'),
      stop_ms: within(stop, 'stop'),
      obeysSigterm: true,
      startFault: draw('fault') < startFailures ? 'engine-refused' : null,
      exit:
        draw('exit') < exits
          ? {
              after_ms: within(exitAfter, 'after'),
              exitCode: killed ? SIGKILLED : INTERNAL_ERROR,
              outOfMemory: killed,
            }
          : null,
    };
  };
}

const exit_after_ms = 200;

/** What a host offers when each runtime and version either runs on or exits soon after every start. */
export function simulatedRuntimes(kinds: Readonly<Record<RuntimeRef, 'runs' | 'exits'>>): {
  readonly runtimes: RuntimeRef[];
  readonly behaviour: (task: TaskSpec, attempt: number) => Behaviour;
} {
  const ordinary = seededBehaviour({ seed: 0 });
  return {
    runtimes: Object.keys(kinds),
    behaviour: (task, attempt) => {
      const exits = kinds[runtimeRef(task.runtime, task.version)] === 'exits';
      const exit = exits ? { after_ms: exit_after_ms, exitCode: INTERNAL_ERROR, outOfMemory: false } : null;
      return { ...ordinary(task, attempt), exit };
    },
  };
}

/** From 0 (inclusive) to 1 (exclusive), the same for the same text. */
function fraction(text: string): number {
  return createHash('sha256').update(text).digest().readUIntBE(0, 6) / 2 ** 48;
}

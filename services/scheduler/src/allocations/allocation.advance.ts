import {
  isLive,
  movesForward,
  Stage,
  type AllocationState,
  type AttemptExit,
  type EndReason,
} from '#libs/contracts';
import type { AllocationAdvance, AllocationIdentity } from './allocation.rows.js';

/** An allocation as it stands in the database, locked. */
export interface AllocationStanding extends AllocationIdentity {
  readonly state: AllocationState;
  /** Of the attempt it is in. */
  readonly stage: Stage | null;
  readonly attempt: number;
  readonly lastExit: AttemptExit | null;
  readonly stopReason: EndReason | null;
  /** When it began to run, or null. */
  readonly runningAt: Date | null;
}

/** What is to be written. */
export interface AllocationStep extends AllocationAdvance {
  readonly from: AllocationStanding;
  /** The state changes too, not the stage alone. */
  readonly moved: boolean;
}

/**
 * The bots of steps that may settle a target of an operation: one began to run, or ended. On the way there nothing is
 * settled, and the rows of operations are hot.
 */
export const settling = (steps: readonly AllocationStep[]): string[] =>
  steps
    .filter(({ moved, state }) => moved && (state === 'running' || !isLive(state)))
    .map(({ from }) => from.bot);

type Trying = Pick<AllocationStanding, 'attempt' | 'stage' | 'lastExit'>;

/** A later attempt begins at the first stage; what an earlier one says is past. */
function further(at: Trying, report: Trying): Trying {
  if (report.attempt < at.attempt) return at;
  const { attempt, stage, lastExit } = report;
  if (attempt > at.attempt) return { attempt, stage, lastExit };
  return {
    attempt,
    stage: stageRank(stage) > stageRank(at.stage) ? stage : at.stage,
    lastExit: at.lastExit ?? lastExit,
  };
}

const stageRank = (stage: Stage | null): number => (stage === null ? -1 : Stage.options.indexOf(stage));

/**
 * What of the reports leads forward, one step for each allocation. Pure: any order of the same reports, any number of
 * times, leads to the same end, because neither states nor attempts ever go back, nor stages within an attempt.
 */
export function stepsForward(
  standings: readonly AllocationStanding[],
  reports: readonly AllocationAdvance[],
): AllocationStep[] {
  const reportsOf = new Map<string, AllocationAdvance[]>();
  for (const report of reports) {
    const others = reportsOf.get(report.id);
    if (others === undefined) reportsOf.set(report.id, [report]);
    else others.push(report);
  }
  return standings.flatMap((from) => {
    const step = stepOf(from, reportsOf.get(from.id) ?? []);
    return step === null ? [] : [step];
  });
}

function stepOf(from: AllocationStanding, reports: readonly AllocationAdvance[]): AllocationStep | null {
  if (!isLive(from.state)) return null;
  let state: AllocationState = from.state;
  let trying: Trying = from;
  let ran = false;
  let end: AllocationAdvance | null = null;
  for (const report of reports) {
    // The first end stands: end states are final.
    if (end === null && movesForward(state, report.state)) {
      state = report.state;
      if (!isLive(state)) end = report;
    }
    trying = further(trying, report);
    ran ||= report.ran;
  }
  const moved = state !== from.state;
  const { stage, attempt, lastExit } = trying;
  const same =
    stage === from.stage && attempt === from.attempt && (lastExit === null) === (from.lastExit === null);
  if (!moved && same && (!ran || from.runningAt !== null)) return null;
  return {
    id: from.id,
    from,
    moved,
    state,
    stage,
    attempt,
    lastExit,
    ran,
    reason: end === null ? null : (end.reason ?? from.stopReason),
    detail: end?.detail ?? null,
    exitCode: end?.exitCode ?? null,
  };
}

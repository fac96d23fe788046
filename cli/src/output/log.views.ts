import type { Verdict } from '#libs/evidence';
import type { Printer } from './printer.js';

const againstWhat = {
  leaves: 'every record that the witness has seen',
  checkpoints: 'the checkpoints that were given',
  nothing: 'its own checkpoints only: give --against to notice an end that was cut off, or an older copy',
} as const;
const keySources = {
  given: 'as given with --key',
  witness: 'as the witness has it',
  export: 'as the export has it: give --key to be sure of it',
} as const;

/** What `audit verify` found. */
export function showVerdict(printer: Printer, verdict: Verdict): void {
  const { finding, from, size, covered } = verdict;
  if (finding === null) printer.line(`The log is as it was seen: records ${from} to ${size - 1}.`, 'good');
  else {
    printer.line(`The log was changed: ${finding.what} at position ${where(finding)}.`, 'bad');
    printer.line(finding.detail);
  }
  printer.sheet([
    ...(finding === null
      ? []
      : ([
          ['record', finding.id],
          ['record before', finding.after],
        ] as const)),
    ['log', verdict.origin],
    ['records looked at', verdict.records + verdict.archived],
    ['of these archived', verdict.archived],
    ['checkpoints that hold', verdict.checkpoints],
    ['records they cover', covered - from],
    ['held against', againstWhat[verdict.against]],
    ['records seen', verdict.seen],
    ['key', keySources[verdict.keyFrom]],
  ]);
  if (finding === null && covered < size)
    printer.note(
      `The last ${size - covered} records are newer than the last checkpoint: nothing vouches for them yet.`,
    );
}

const where = ({ position, to }: NonNullable<Verdict['finding']>): string =>
  to === null ? `${position}` : `${position} to ${to - 1}`;

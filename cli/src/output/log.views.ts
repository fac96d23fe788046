import type { Verdict } from '#libs/evidence';
import type { FoundArchive } from '../archive.files.js';
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

/** An archive that has what an export leaves out. */
export function showLeftOut(printer: Printer, archive: string, toldAt: number | null): void {
  if (toldAt === null)
    printer.line(
      `Records said to be in archive ${archive} are left out, and the log does not tell of it.`,
      'bad',
    );
  else printer.line(`Those in archive ${archive} are left out, as the log tells at position ${toldAt}.`);
}

/** The files of archives that the log tells of. */
export function showArchiveFiles(printer: Printer, files: readonly FoundArchive[]): void {
  for (const { file, fault } of files) if (fault !== null) printer.line(`${file}: ${fault}`, 'bad');
  const good = files.filter(({ fault }) => fault === null).length;
  printer.line(
    `${good} of ${files.length} archives are there and proved.`,
    good === files.length ? 'good' : 'bad',
  );
}

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
    ...verdict.archives.map(
      ({ class: name, month, records, archive, toldAt }) =>
        [`${name} ${month}`, `${records} in archive ${archive}, told at ${toldAt}`] as const,
    ),
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

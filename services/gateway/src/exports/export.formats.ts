import type { ExportFormat, FleetEvent, ProblemError } from '#libs/contracts';

/** How an export is written down. */
export interface WrittenFormat {
  readonly contentType: string;
  /** What stands before the first event. */
  readonly head: string;
  readonly rows: (events: readonly FleetEvent[]) => string;
  /** What stands last in an export that failed. */
  readonly failure: (error: ProblemError) => string;
}

const line = (value: unknown): string => `${JSON.stringify(value)}\n`;

const ndjson: WrittenFormat = {
  contentType: 'application/x-ndjson; charset=utf-8',
  head: '',
  rows: (events) => events.map(line).join(''),
  failure: (error) => line({ error: error.toProblem() }),
};

/** Spreadsheets take what begins so for a formula, full-width signs as well, behind blanks too. */
const formula = /^[\s\0]*[=+\-@\uff1d\uff0b\uff0d\uff20]|^[\t\r\n]/;

const columns = [
  ...['position', 'time', 'id', 'type', 'severity', 'entity', 'entityId', 'actor'],
  ...['source', 'incarnation', 'sequence', 'traceparent', 'data'],
] as const;

const csvRow = (values: readonly (string | number)[]): string => `${values.map(csvField).join(',')}\r\n`;

const csv: WrittenFormat = {
  contentType: 'text/csv; charset=utf-8; header=present',
  head: csvRow(columns),
  rows: (events) => events.map((event) => csvRow(valuesOf(event))).join(''),
  failure: (error) => {
    const told = ['error', error.code, error.detail];
    return csvRow(columns.map((_, index) => told[index] ?? ''));
  },
};

export const writtenFormats: Readonly<Record<ExportFormat, WrittenFormat>> = { ndjson, csv };

/** In the order of the columns. */
const valuesOf = (event: FleetEvent): (string | number)[] => [
  ...[event.position ?? '', event.time, event.id, event.type, event.severity, event.entity, event.entityId],
  ...[event.actor, event.source, event.incarnation, event.sequence, event.traceparent ?? ''],
  JSON.stringify(event.data),
];

/**
 * A field of RFC 4180. Text that a spreadsheet would carry out begins with an apostrophe, so that it is shown instead;
 * who needs it to the letter takes NDJSON. Numbers stay as they are.
 */
export function csvField(value: string | number): string {
  if (typeof value === 'number') return String(value);
  const text = formula.test(value) ? `'${value}` : value;
  return /[",\r\n]/.test(text) || text !== value ? `"${text.replaceAll('"', '""')}"` : text;
}

import type { Row } from './sqlite.file.js';

/** Columns of a row as the schema promises them; anything else is a defect. */
export function text(row: Row, column: string): string {
  const value = row[column];
  if (typeof value !== 'string') throw new TypeError(`Column ${column} holds no text.`);
  return value;
}

export const textOrNull = (row: Row, column: string): string | null =>
  row[column] === null ? null : text(row, column);

export function integer(row: Row, column: string): number {
  const value = row[column];
  if (typeof value !== 'number') throw new TypeError(`Column ${column} holds no number.`);
  return value;
}

export const integerOrNull = (row: Row, column: string): number | null =>
  row[column] === null ? null : integer(row, column);

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** A document as it should be; the path is below the checkout. */
export interface GeneratedFile {
  readonly path: string;
  readonly text: string;
}

/** Writes those that are not what they should be, and answers with their paths. */
export function writeDocuments(root: string, documents: readonly GeneratedFile[]): string[] {
  const changed = documents.filter(({ path, text }) => readOrNull(join(root, path)) !== text);
  for (const { path, text } of changed) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  }
  return changed.map(({ path }) => path);
}

/** One line for each document that is missing or differs: where first, and by how much. */
export function checkDocuments(root: string, documents: readonly GeneratedFile[]): string[] {
  return documents.flatMap(({ path, text }) => {
    const present = readOrNull(join(root, path));
    if (present === text) return [];
    return [present === null ? `${path}: is missing` : `${path}:${differenceOf(present, text)}`];
  });
}

function differenceOf(present: string, wanted: string): string {
  const [before, after] = [present.split('\n'), wanted.split('\n')];
  const at = before.findIndex((line, index) => line !== after[index]);
  const first = at === -1 ? before.length : at;
  const gone = countMissing(before, after);
  const added = countMissing(after, before);
  return `${first + 1}: differs (${added} lines to add, ${gone} to take away); wanted: ${(after[first] ?? '(end)').trim().slice(0, 100)}`;
}

/** How many lines of `lines` are not among `others`, each counted once. */
function countMissing(lines: readonly string[], others: readonly string[]): number {
  const left = new Map<string, number>();
  for (const line of others) left.set(line, (left.get(line) ?? 0) + 1);
  return lines.filter((line) => {
    const count = left.get(line) ?? 0;
    left.set(line, count - 1);
    return count <= 0;
  }).length;
}

function readOrNull(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}

import { copyFileSync, existsSync, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';

export interface SpoolState {
  /** The last number given to an event by each start of the agent that the file still knows. */
  readonly incarnations: ReadonlyMap<string, number>;
  /** Events not yet known to be with the broker. */
  readonly waiting: number;
}

/**
 * Reads what an agent that has ended left in its state. From a copy: an agent holds its file alone, and the next one may
 * start meanwhile.
 */
export function readSpool(path: string, folder: string): SpoolState {
  if (!existsSync(path)) return { incarnations: new Map(), waiting: 0 };
  const aside = mkdtempSync(join(folder, 'spool-'));
  try {
    const copy = join(aside, 'agent.sqlite');
    copyFileSync(path, copy);
    // What was committed last stands beside it when the agent was killed.
    if (existsSync(`${path}-wal`)) copyFileSync(`${path}-wal`, `${copy}-wal`);
    return read(copy);
  } finally {
    rmSync(aside, { recursive: true, force: true });
  }
}

function read(path: string): SpoolState {
  const database = new DatabaseSync(path);
  try {
    const rows = database.prepare('SELECT id, sequence FROM incarnations').all();
    const counted = database.prepare('SELECT count(*) AS n FROM spool WHERE published = 0').get();
    return {
      incarnations: new Map(rows.map((row) => [String(row['id']), Number(row['sequence'])])),
      waiting: Number(counted?.['n'] ?? 0),
    };
  } finally {
    database.close();
  }
}

import { existsSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';

/** Numbers given to events by each start of an agent, the highest of each. */
export type Incarnations = Map<string, number>;

/** Reads how far an agent has numbered its events, and how many wait in its spool. */
export function readSpool(path: string): { incarnations: Incarnations; waiting: number } {
  const incarnations: Incarnations = new Map();
  if (!existsSync(path)) return { incarnations, waiting: 0 };
  const database = new DatabaseSync(path, { readOnly: true, timeout: 5000 });
  try {
    for (const row of database.prepare('SELECT id, sequence FROM incarnations').all())
      incarnations.set(String(row['id']), Number(row['sequence']));
    const waiting = Number(database.prepare('SELECT count(*) AS n FROM spool').get()?.['n'] ?? 0);
    return { incarnations, waiting };
  } finally {
    database.close();
  }
}

import { Injectable } from '@nestjs/common';
import { z } from 'zod';
import { AgentDatabase } from './agent.database.js';
import { text } from '#libs/spool';

const Lines = z.array(
  z.strictObject({ at: z.string(), stream: z.enum(['stdout', 'stderr']), text: z.string() }),
);
export type LastLines = z.infer<typeof Lines>;

/** Allocations whose last lines are kept; the oldest go first. With `lines_bytes_max` each: 8 MiB at most. */
export const last_logs_max = 512;
export const lines_bytes_max = 16 * 1024;

/** The last lines of allocations that have ended, whose containers are gone. */
@Injectable()
export class LastLogsRepository {
  constructor(private readonly db: AgentDatabase) {}

  /** Oldest first; null when there are none. */
  get(allocation: string): LastLines | null {
    const row = this.db.one('SELECT lines FROM last_logs WHERE allocation = ?', allocation);
    return row === null ? null : Lines.parse(JSON.parse(text(row, 'lines')));
  }

  /** Inside a commit. Of what is too long the oldest lines are left out. */
  keep(allocation: string, lines: LastLines, wall_ms: number): void {
    this.db.change(
      `INSERT INTO last_logs (allocation, lines, kept_at) VALUES (?, ?, ?)
       ON CONFLICT (allocation) DO UPDATE SET lines = excluded.lines, kept_at = excluded.kept_at`,
      allocation,
      JSON.stringify(fitting(lines)),
      Math.trunc(wall_ms),
    );
  }

  /** Inside a commit. Forgets what was kept before, and the oldest of what is too many. */
  prune(before_wall_ms: number): void {
    this.db.change('DELETE FROM last_logs WHERE kept_at < ?', Math.trunc(before_wall_ms));
    this.db.change(
      `DELETE FROM last_logs WHERE allocation IN
         (SELECT allocation FROM last_logs ORDER BY kept_at DESC LIMIT -1 OFFSET ?)`,
      last_logs_max,
    );
  }
}

function fitting(lines: LastLines): LastLines {
  let bytes = 0;
  const from = lines.findLastIndex(
    (line) => (bytes += Buffer.byteLength(JSON.stringify(line)) + 1) > lines_bytes_max,
  );
  return lines.slice(from + 1);
}

import { Injectable } from '@nestjs/common';
import { PrepareCommand } from '#libs/contracts';
import { AgentDatabase } from './agent.database.js';
import { text, textOrNull, type Row } from '#libs/spool';

/** As long as commands are remembered, so that a late delivery finds what it was about. */
const kept_ms = 48 * 60 * 60 * 1000;

/** Values of the column `ended` besides 0, which is to be made. */
const failed = 1;
const made = 2;

/** What this host is to make ready for a bot that may come. */
export interface PreparationRecord {
  readonly command: PrepareCommand;
  /** Trace of the command. */
  readonly traceparent: string | null;
}

const toRecord = (row: Row): PreparationRecord => ({
  command: PrepareCommand.parse(JSON.parse(text(row, 'command'))),
  traceparent: textOrNull(row, 'traceparent'),
});

/** Preparations this host was asked for: those it still has to make, and those that ended lately. */
@Injectable()
export class PreparationsRepository {
  constructor(private readonly db: AgentDatabase) {}

  /** Still to be made, the oldest first. */
  wanted(): PreparationRecord[] {
    return this.db.all('SELECT * FROM preparations WHERE ended = 0 ORDER BY recorded_at, move').map(toRecord);
  }

  isWanted(move: string): boolean {
    return this.db.one('SELECT 1 FROM preparations WHERE move = ? AND ended = 0', move) !== null;
  }

  /** It was made lately. One that failed, or that an earlier agent made, counts as not made. */
  isMade(move: string): boolean {
    return this.db.one('SELECT 1 FROM preparations WHERE move = ? AND ended = ?', move, made) !== null;
  }

  countWanted(): number {
    return Number(
      this.db.one('SELECT count(*) AS wanted FROM preparations WHERE ended = 0')?.['wanted'] ?? 0,
    );
  }

  /** Inside a commit. One that failed is to be made again: it may succeed now. */
  want({ command, traceparent }: PreparationRecord, wall_ms: number): void {
    this.db.change(
      `INSERT INTO preparations (move, command, traceparent, ended, recorded_at) VALUES (?, ?, ?, 0, ?)
       ON CONFLICT (move) DO UPDATE SET command = excluded.command, traceparent = excluded.traceparent,
         ended = 0, recorded_at = excluded.recorded_at`,
      command.move,
      JSON.stringify(command),
      traceparent,
      Math.trunc(wall_ms),
    );
  }

  /** Inside a commit. */
  end(move: string, isMade: boolean): void {
    this.db.change('UPDATE preparations SET ended = ? WHERE move = ?', isMade ? made : failed, move);
  }

  /** Inside a commit. */
  prune(wall_ms: number): void {
    this.db.change(
      'DELETE FROM preparations WHERE ended <> 0 AND recorded_at < ?',
      Math.trunc(wall_ms - kept_ms),
    );
  }
}

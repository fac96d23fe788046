import { Injectable } from '@nestjs/common';
import type { Command } from '#libs/contracts';
import { AgentDatabase } from './agent.database.js';

/** Longer than the stream of commands keeps a message (a day), so that none is taken for a new one. */
const kept_ms = 48 * 60 * 60 * 1000;
/** A record is about 100 bytes; the oldest go first. */
const kept_max = 100_000;

/** Commands that were recorded on this host. */
@Injectable()
export class CommandsRepository {
  constructor(private readonly db: AgentDatabase) {}

  isRecorded(id: string): boolean {
    return this.db.one('SELECT 1 FROM commands WHERE id = ?', id) !== null;
  }

  /** Inside a commit. */
  record(command: Command, wall_ms: number): void {
    this.db.change(
      'INSERT INTO commands (id, verb, allocation, recorded_at) VALUES (?, ?, ?, ?)',
      command.id,
      command.verb,
      command.verb === 'prepare' ? command.move : command.allocation,
      Math.trunc(wall_ms),
    );
  }

  /** Inside a commit. Forgets what can no longer be delivered again. */
  prune(wall_ms: number): void {
    this.db.change('DELETE FROM commands WHERE recorded_at < ?', Math.trunc(wall_ms - kept_ms));
    this.db.change(
      'DELETE FROM commands WHERE id IN (SELECT id FROM commands ORDER BY recorded_at DESC LIMIT -1 OFFSET ?)',
      kept_max,
    );
  }
}

import { Injectable } from '@nestjs/common';
import { AllocationState, EndReason, Stage, StartCommand, isLive } from '#libs/contracts';
import { Attempts, firstAttempt } from '../allocations/allocation.attempts.js';
import type { AllocationRecord, StopWish } from '../allocations/allocation.record.js';
import { AgentDatabase } from './agent.database.js';
import { integer, integerOrNull, text, textOrNull, type Row } from '#libs/spool';

/** Ended allocations are kept this long, so that a late command for one is known to be late. */
const ended_kept_ms = 48 * 60 * 60 * 1000;
const ended_kept_max = 20_000;

function toRecord(row: Row): AllocationRecord {
  const command = textOrNull(row, 'command');
  const stop = textOrNull(row, 'stop');
  const attempts = textOrNull(row, 'attempts');
  return {
    id: text(row, 'id'),
    account: text(row, 'account'),
    epoch: integer(row, 'epoch'),
    command: command === null ? null : StartCommand.parse(JSON.parse(command)),
    state: AllocationState.parse(row['state']),
    stage: Stage.nullable().parse(row['stage']),
    attempts: attempts === null ? firstAttempt : Attempts.parse(JSON.parse(attempts)),
    reason: EndReason.nullable().parse(row['reason']),
    detail: textOrNull(row, 'detail'),
    exitCode: integerOrNull(row, 'exit_code'),
    stop: stop === null ? null : (JSON.parse(stop) as StopWish),
    traceparent: textOrNull(row, 'traceparent'),
  };
}

/** Allocations of this host: those that live, and those that ended lately. */
@Injectable()
export class AllocationsRepository {
  constructor(private readonly db: AgentDatabase) {}

  get(id: string): AllocationRecord | null {
    const row = this.db.one('SELECT * FROM allocations WHERE id = ?', id);
    return row === null ? null : toRecord(row);
  }

  live(): AllocationRecord[] {
    return this.db.all('SELECT * FROM allocations WHERE ended = 0 ORDER BY account, epoch').map(toRecord);
  }

  /** Whether the account has one that lives here. */
  hasLive(account: string): boolean {
    return this.db.one('SELECT 1 FROM allocations WHERE account = ? AND ended = 0 LIMIT 1', account) !== null;
  }

  /** Ended, and the scheduler has not yet answered a heartbeat that said so; oldest first. */
  unreported(limit: number): AllocationRecord[] {
    return this.db
      .all('SELECT * FROM allocations WHERE ended = 1 AND reported = 0 ORDER BY changed_at LIMIT ?', limit)
      .map(toRecord);
  }

  /**
   * Inside a commit; inserts or replaces all but the wish to stop, which others write. An ended allocation keeps no
   * command: its token is of no more use.
   */
  save(record: AllocationRecord, wall_ms: number): void {
    const live = isLive(record.state);
    this.db.change(
      `INSERT INTO allocations
         (id, account, epoch, command, state, stage, reason, detail, exit_code, stop, traceparent, attempts,
          ended, changed_at)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
       ON CONFLICT (id) DO UPDATE SET
         command = excluded.command, state = excluded.state, stage = excluded.stage, reason = excluded.reason,
         detail = excluded.detail, exit_code = excluded.exit_code, attempts = excluded.attempts, ended = excluded.ended,
         changed_at = excluded.changed_at`,
      record.id,
      record.account,
      record.epoch,
      live && record.command !== null ? JSON.stringify(record.command) : null,
      record.state,
      record.stage,
      record.reason,
      record.detail,
      record.exitCode,
      record.stop === null ? null : JSON.stringify(record.stop),
      record.traceparent,
      JSON.stringify(record.attempts),
      live ? 0 : 1,
      Math.trunc(wall_ms),
    );
    if (!live) this.db.change('DELETE FROM hooks WHERE allocation = ?', record.id);
  }

  /** Inside a commit: the wish to end it; the first one counts. */
  wishStop(id: string, stop: StopWish): void {
    this.db.change(
      'UPDATE allocations SET stop = ? WHERE id = ? AND stop IS NULL AND ended = 0',
      JSON.stringify(stop),
      id,
    );
  }

  /** Inside a commit. */
  markReported(ids: readonly string[]): void {
    for (const id of ids)
      this.db.change('UPDATE allocations SET reported = 1 WHERE id = ? AND ended = 1', id);
  }

  hooksDone(id: string): Set<string> {
    const rows = this.db.all('SELECT hook FROM hooks WHERE allocation = ?', id);
    return new Set(rows.map((row) => text(row, 'hook')));
  }

  /** Inside a commit. */
  hookDone(id: string, hook: string): void {
    this.db.change('INSERT OR IGNORE INTO hooks (allocation, hook) VALUES (?, ?)', id, hook);
  }

  /** Inside a commit: another attempt does all of it anew. */
  forgetHooksOf(id: string): void {
    this.db.change('DELETE FROM hooks WHERE allocation = ?', id);
  }

  /** Inside a commit: a boot undoes what hooks did. */
  forgetHooks(): void {
    this.db.change('DELETE FROM hooks');
  }

  /** Inside a commit. */
  prune(wall_ms: number): void {
    this.db.change(
      'DELETE FROM allocations WHERE ended = 1 AND changed_at < ?',
      Math.trunc(wall_ms - ended_kept_ms),
    );
    this.db.change(
      `DELETE FROM allocations WHERE id IN
         (SELECT id FROM allocations WHERE ended = 1 ORDER BY changed_at DESC LIMIT -1 OFFSET ?)`,
      ended_kept_max,
    );
  }
}

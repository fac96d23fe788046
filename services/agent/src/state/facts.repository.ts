import { Injectable } from '@nestjs/common';
import { AgentDatabase } from './agent.database.js';
import { text } from '#libs/spool';

export type FactName = 'boot-id' | 'term' | 'term-proof' | 'registered-key';

/** Small facts that outlive the process. */
@Injectable()
export class FactsRepository {
  constructor(private readonly db: AgentDatabase) {}

  get(name: FactName): string | null {
    const row = this.db.one('SELECT value FROM facts WHERE name = ?', name);
    return row === null ? null : text(row, 'value');
  }

  /** Inside a commit. */
  set(name: FactName, value: string): void {
    this.db.change(
      'INSERT INTO facts (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value',
      name,
      value,
    );
  }
}

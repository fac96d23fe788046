import type { StoredSubject, SubjectStore } from '../privacy/subject.store.js';

/** Keys of persons in memory, for specs; keeps to what the table does. */
export class SubjectMemory implements SubjectStore {
  readonly rows = new Map<string, StoredSubject>();
  /** How often it was asked or told something. */
  asked = 0;

  async byMacs(macs: readonly Buffer[]): Promise<readonly StoredSubject[]> {
    this.asked += 1;
    const wanted = new Set(macs.map((mac) => mac.toString('hex')));
    return await Promise.resolve(
      [...this.rows.values()].filter((row) => wanted.has(row.mac.toString('hex'))),
    );
  }

  async byIds(ids: readonly string[]): Promise<readonly StoredSubject[]> {
    this.asked += 1;
    return await Promise.resolve(ids.flatMap((id) => this.rows.get(id) ?? []));
  }

  async add(subjects: readonly StoredSubject[]): Promise<void> {
    this.asked += 1;
    const known = new Set([...this.rows.values()].map((row) => row.mac.toString('hex')));
    for (const row of subjects) if (!known.has(row.mac.toString('hex'))) this.rows.set(row.id, row);
    await Promise.resolve();
  }
}

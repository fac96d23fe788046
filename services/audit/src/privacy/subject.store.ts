/** A person as the table has it. */
export interface StoredSubject {
  readonly id: string;
  /** Stands for the name; 32 bytes. */
  readonly mac: Buffer;
  readonly wrappedKey: Buffer;
  /** The name under the person's own key. */
  readonly sealedName: Buffer;
}

/** Where the keys of persons are kept. */
export interface SubjectStore {
  /** Those that stand for one of these names. */
  byMacs(macs: readonly Buffer[]): Promise<readonly StoredSubject[]>;
  /** Those that are there; whoever is missing was erased. */
  byIds(ids: readonly string[]): Promise<readonly StoredSubject[]>;
  /** Of two that are added for one name at the same time the first stays. */
  add(subjects: readonly StoredSubject[], now: string): Promise<void>;
}

/** DI token. */
export const SUBJECT_STORE = Symbol('SubjectStore');

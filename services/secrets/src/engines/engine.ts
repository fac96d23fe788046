import type { Transaction } from '#libs/persistence';

/** DI token of the engine that keeps the passwords. */
export const SECRETS_ENGINE = Symbol('SecretsEngine');

/** A password as it is kept; `version` grows by one with every change. */
export interface StoredPassword {
  readonly password: string;
  readonly version: number;
}

/** Everything about stored credentials that may be shown. Instants in UTC, ISO. */
export interface StoredStatus {
  readonly version: number;
  readonly updatedAt: string;
  readonly updatedBy: string;
}

/** Who stores, and what is to be recorded with it. */
export interface Storing {
  /** The actor. */
  readonly by: string;
  /**
   * Records that `version` was stored. An engine in our database calls it in the transaction that stores, so that
   * neither happens without the other; an engine elsewhere calls it in a transaction of its own once it has stored.
   */
  readonly record: (transaction: Transaction, version: number) => Promise<void>;
}

/**
 * Where broker passwords live. The service around it decides who gets one; an engine only keeps them.
 * Methods throw `ProblemError('unavailable')` when the engine cannot answer; nothing they throw holds a secret.
 */
export interface SecretsEngine {
  /** For people: kind and version. */
  readonly name: string;
  /** Null when nothing was ever stored. */
  read(account: string): Promise<StoredPassword | null>;
  /** Stores a new version; the password the account has already stores and records nothing. */
  set(account: string, password: string, storing: Storing): Promise<StoredStatus>;
  /** As `set`, but keeps whatever is there; answers what then holds. For passwords nobody chose. */
  setIfAbsent(account: string, password: string, storing: Storing): Promise<StoredPassword>;
  status(account: string): Promise<StoredStatus | null>;
}

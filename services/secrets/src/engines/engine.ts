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

/**
 * Where broker passwords live. The service around it decides who gets one; an engine only keeps them.
 * Methods throw `ProblemError('unavailable')` when the engine cannot answer; nothing they throw holds a secret.
 */
export interface SecretsEngine {
  /** For people: kind and version. */
  readonly name: string;
  /** Null when nothing was ever stored. */
  read(account: string): Promise<StoredPassword | null>;
  /** Stores a new version. `by` is the actor. */
  set(account: string, password: string, by: string): Promise<StoredStatus>;
  /** As `set`, but keeps what is there; answers what then holds. For passwords nobody chose. */
  setIfAbsent(account: string, password: string, by: string): Promise<StoredPassword>;
  status(account: string): Promise<StoredStatus | null>;
}

import { ProblemError } from '#libs/contracts';
import type { SecretsEngine, StoredPassword, StoredStatus, Storing } from '../engine.js';
import type { CredentialRepository, CredentialRow } from './credential.repository.js';
import type { MasterKeys } from '#libs/config';
import { closeEnvelope, EnvelopeError, openEnvelope } from './envelope.js';

/** Passwords in Postgres under envelope encryption; the master keys come from a file (see `readMasterKeys`). */
export class EmbeddedEngine implements SecretsEngine {
  readonly name = 'embedded (AES-256-GCM envelopes in Postgres)';

  constructor(
    private readonly credentials: CredentialRepository,
    private readonly masters: MasterKeys,
  ) {}

  async read(account: string): Promise<StoredPassword | null> {
    const row = await this.credentials.newest(account);
    return row === null ? null : this.open(account, row);
  }

  async set(account: string, password: string, storing: Storing): Promise<StoredStatus> {
    return toStatus(
      await this.append(account, password, storing, (row) => this.holds(account, row, password)),
    );
  }

  async setIfAbsent(account: string, password: string, storing: Storing): Promise<StoredPassword> {
    return this.open(account, await this.append(account, password, storing, () => true));
  }

  async status(account: string): Promise<StoredStatus | null> {
    const row = await this.credentials.newest(account);
    return row === null ? null : toStatus(row);
  }

  private async append(
    account: string,
    password: string,
    { by, record }: Storing,
    keeps: (newest: CredentialRow) => boolean,
  ): Promise<CredentialRow> {
    return this.credentials.append(account, by, {
      keeps,
      close: (version) =>
        closeEnvelope(Buffer.from(password, 'utf8'), identityOf(account, version), this.masters),
      record,
    });
  }

  /** A row that does not open holds no password: setting one is the way out of a lost master key. */
  private holds(account: string, row: CredentialRow, password: string): boolean {
    try {
      return this.opened(account, row) === password;
    } catch (error) {
      if (error instanceof EnvelopeError) return false;
      throw error;
    }
  }

  private open(account: string, row: CredentialRow): StoredPassword {
    try {
      return { password: this.opened(account, row), version: row.version };
    } catch (cause) {
      if (!(cause instanceof EnvelopeError)) throw cause;
      throw new ProblemError(
        'unavailable',
        `The stored credentials of ${account} (version ${row.version}, key ${row.keyId}) do not open: ${cause.message}`,
        { cause },
      );
    }
  }

  private opened(account: string, row: CredentialRow): string {
    return openEnvelope(row, identityOf(account, row.version), this.masters).toString('utf8');
  }
}

/** What a ciphertext is bound to: it opens as this version of this account only. */
const identityOf = (account: string, version: number): string => `${account}\n${version}`;

const toStatus = (row: CredentialRow): StoredStatus => ({
  version: row.version,
  updatedAt: row.createdAt.toISOString(),
  updatedBy: row.createdBy,
});

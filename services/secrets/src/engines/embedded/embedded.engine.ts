import { ProblemError } from '#libs/contracts';
import type { SecretsEngine, StoredPassword, StoredStatus } from '../engine.js';
import type { CredentialRepository, CredentialRow } from './credential.repository.js';
import { closeEnvelope, EnvelopeError, type MasterKeys, openEnvelope } from './envelope.js';

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

  async set(account: string, password: string, by: string): Promise<StoredStatus> {
    const row = await this.append(account, password, by, false);
    return toStatus(row);
  }

  async setIfAbsent(account: string, password: string, by: string): Promise<StoredPassword> {
    const row = await this.append(account, password, by, true);
    return this.open(account, row);
  }

  async status(account: string): Promise<StoredStatus | null> {
    const row = await this.credentials.newest(account);
    return row === null ? null : toStatus(row);
  }

  private append(
    account: string,
    password: string,
    by: string,
    onlyIfAbsent: boolean,
  ): Promise<CredentialRow> {
    return this.credentials.append(account, by, onlyIfAbsent, (version) =>
      closeEnvelope(Buffer.from(password, 'utf8'), identityOf(account, version), this.masters),
    );
  }

  private open(account: string, row: CredentialRow): StoredPassword {
    try {
      const password = openEnvelope(row, identityOf(account, row.version), this.masters);
      return { password: password.toString('utf8'), version: row.version };
    } catch (cause) {
      if (!(cause instanceof EnvelopeError)) throw cause;
      throw new ProblemError(
        'unavailable',
        `The stored credentials of ${account} (version ${row.version}, key ${row.keyId}) do not open: ${cause.message}`,
        { cause },
      );
    }
  }
}

/** What a ciphertext is bound to: it opens as this version of this account only. */
const identityOf = (account: string, version: number): string => `${account}\n${version}`;

const toStatus = (row: CredentialRow): StoredStatus => ({
  version: row.version,
  updatedAt: row.createdAt.toISOString(),
  updatedBy: row.createdBy,
});

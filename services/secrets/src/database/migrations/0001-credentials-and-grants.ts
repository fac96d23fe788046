import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * Credentials of the embedded engine, one row a version, each under its own data key; and the grants given out.
 * Nothing here is readable without the master key file, which is never in the database or its backups.
 */
export class CredentialsAndGrants1700000000001 implements MigrationInterface {
  name = 'CredentialsAndGrants1700000000001';

  async up(q: QueryRunner): Promise<void> {
    await q.query(`
      CREATE TABLE secrets.credentials (
        account text NOT NULL,
        version integer NOT NULL CHECK (version > 0),
        key_id text NOT NULL,
        wrapped_key bytea NOT NULL,
        ciphertext bytea NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now(),
        created_by text NOT NULL,
        PRIMARY KEY (account, version)
      );
      -- Which rows still need an old master key.
      CREATE INDEX credentials_by_key ON secrets.credentials (key_id);

      CREATE TABLE secrets.grants (
        id uuid PRIMARY KEY,
        allocation uuid NOT NULL,
        account text NOT NULL,
        host text NOT NULL,
        epoch integer NOT NULL,
        credential_version integer NOT NULL,
        issued_at timestamptz NOT NULL DEFAULT now(),
        expires_at timestamptz NOT NULL
      );
      CREATE INDEX grants_by_account ON secrets.grants (account, issued_at DESC);
    `);
  }

  async down(): Promise<void> {
    throw new Error('There is no way back from the first migration; restore a backup.');
  }
}

import { type DatabaseOptions, outboxMigrations } from '#libs/persistence';
import type { SecretsConfig } from '../secrets.config.js';
import { CredentialsAndGrants1700000000001 } from './migrations/0001-credentials-and-grants.js';

export const secretsSchema = 'secrets';

export function databaseOptions(config: SecretsConfig): DatabaseOptions {
  return {
    url: config.databaseUrl,
    schema: secretsSchema,
    migrations: [...outboxMigrations(secretsSchema), CredentialsAndGrants1700000000001],
    poolMax: config.databasePoolMax,
    applicationName: 'tradefleet-secrets',
  };
}

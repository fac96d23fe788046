import type { Provider } from '@nestjs/common';
import { CLOCK, type Clock } from '#libs/clock';
import { eventRelayPorts, Messaging, SigningKey } from '#libs/messaging';
import { Outbox, OutboxRelay } from '#libs/persistence';
import { LOGGER, type Logger } from '#libs/telemetry';
import { DataSource } from 'typeorm';
import { SECRETS_CONFIG, type SecretsConfig } from '../secrets.config.js';
import { secretsSchema } from './database.options.js';

const source = '/secrets';

/** The outbox of this service, its relay signing and publishing what it holds. */
export const outboxProviders: Provider[] = [
  {
    provide: Outbox,
    inject: [CLOCK],
    useFactory: (clock: Clock) => new Outbox(secretsSchema, clock),
  },
  {
    provide: OutboxRelay,
    inject: [DataSource, Messaging, SigningKey, SECRETS_CONFIG, CLOCK, LOGGER],
    useFactory: (
      dataSource: DataSource,
      messaging: Messaging,
      signingKey: SigningKey,
      { auditPublicKey: asks }: SecretsConfig,
      clock: Clock,
      logger: Logger,
    ) =>
      new OutboxRelay(dataSource, eventRelayPorts({ messaging, signingKey, source, clock, logger, asks }), {
        schema: secretsSchema,
        source,
        clock,
        logger,
      }),
  },
];

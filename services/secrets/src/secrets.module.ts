import {
  type BeforeApplicationShutdown,
  type DynamicModule,
  Module,
  type OnApplicationBootstrap,
} from '@nestjs/common';
import { CLOCK, type Clock } from '#libs/clock';
import { readMasterKeys } from '#libs/config';
import { type Messaging, MessagingModule, SealingKey, SigningKey } from '#libs/messaging';
import { OutboxRelay, PersistenceModule, RefusalsRecorder, refusalsProvider } from '#libs/persistence';
import { type Logger, TelemetryModule } from '#libs/telemetry';
import { CredentialsController } from './credentials/credentials.controller.js';
import { CredentialEvents } from './credentials/credential.events.js';
import { CredentialsService } from './credentials/credentials.service.js';
import { databaseOptions } from './database/database.options.js';
import { outboxProviders } from './database/outbox.providers.js';
import { CredentialRepository } from './engines/embedded/credential.repository.js';
import { EmbeddedEngine } from './engines/embedded/embedded.engine.js';
import { SECRETS_ENGINE } from './engines/engine.js';
import { GrantRepository } from './grants/grant.repository.js';
import { GrantsController } from './grants/grants.controller.js';
import { GrantsService } from './grants/grants.service.js';
import { HealthController } from './health/health.controller.js';
import { SECRETS_CONFIG, type SecretsConfig } from './secrets.config.js';

/** What the service is made from. */
export interface SecretsParts {
  readonly config: SecretsConfig;
  readonly messaging: Messaging;
  readonly logger: Logger;
  readonly clock: Clock;
}

@Module({})
export class SecretsModule implements OnApplicationBootstrap, BeforeApplicationShutdown {
  constructor(
    private readonly relay: OutboxRelay,
    private readonly refusals: RefusalsRecorder,
  ) {}

  static forRoot({ config, messaging, logger, clock }: SecretsParts): DynamicModule {
    return {
      module: SecretsModule,
      imports: [
        TelemetryModule.forRoot({ logger }),
        MessagingModule.forRoot(messaging),
        PersistenceModule.forRootAsync({ useFactory: () => databaseOptions(config) }),
      ],
      controllers: [GrantsController, CredentialsController, HealthController],
      providers: [
        { provide: SECRETS_CONFIG, useValue: config },
        { provide: CLOCK, useValue: clock },
        {
          provide: SealingKey,
          useFactory: () => SealingKey.fromFile(config.sealingKeyPath, { create: true }),
        },
        {
          provide: SigningKey,
          useFactory: () => SigningKey.fromFile(config.signingKeyPath, { create: true }),
        },
        ...outboxProviders,
        CredentialRepository,
        GrantRepository,
        {
          provide: SECRETS_ENGINE,
          inject: [CredentialRepository],
          useFactory: (credentials: CredentialRepository) =>
            new EmbeddedEngine(credentials, readMasterKeys(config.masterKeyPath, { create: true })),
        },
        CredentialEvents,
        CredentialsService,
        GrantsService,
        refusalsProvider('secrets', SECRETS_CONFIG),
      ],
    };
  }

  onApplicationBootstrap(): void {
    this.relay.start();
  }

  /** The last events go out before the connections close; what does not is in the outbox for the next start. */
  async beforeApplicationShutdown(): Promise<void> {
    await this.refusals.stop();
    await this.relay.stop();
  }
}

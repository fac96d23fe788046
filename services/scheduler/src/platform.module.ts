import { CLOCK, type Clock } from '#libs/clock';
import {
  eventRelayPorts,
  Messaging,
  MessagingModule,
  type SigningKey,
  type PublishOutcome,
} from '#libs/messaging';
import { Outbox, OutboxRelay, PersistenceModule, type SendOutcome } from '#libs/persistence';
import { TelemetryModule, type Logger } from '#libs/telemetry';
import { Module, type DynamicModule, type Provider } from '@nestjs/common';
import { APP_FILTER } from '@nestjs/core';
import { DataSource } from 'typeorm';
import { AfterCommit } from './database/after-commit.js';
import { DatabaseUnavailableFilter } from './database/database-unavailable.filter.js';
import { entities } from './database/entities/index.js';
import { schedulerSchema } from './database/migrations/index.js';
import { LEADERSHIP_DATABASE, RUNTIME_SETTINGS, runtimeSettings } from './runtime.settings.js';
import { SCHEDULER_CONFIG, type SchedulerConfig } from './scheduler.config.js';
import { SCHEDULER_SIGNING_KEY } from './scheduler.keys.js';
import { sessionName } from './leadership/leader-row.js';
import { randomBytes } from 'node:crypto';
import { hostname } from 'node:os';

/** What the process was started with. */
export interface Platform {
  readonly config: SchedulerConfig;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Connected. */
  readonly messaging: Messaging;
  readonly signingKey: SigningKey;
}

/** CloudEvents source of what this service publishes. */
const source = '/scheduler';
/** A process that is stopped in the middle of a transaction keeps rows locked no longer than this. */
const idle_in_transaction_ms_max = 5000;

const makeHolder = ({ instance = hostname() }: SchedulerConfig): string =>
  `${instance}/${process.pid}/${randomBytes(6).toString('hex')}`;

/** What every part of the scheduler may inject: configuration, clock, log, database, outbox, NATS, key. */
@Module({})
export class PlatformModule {
  static forRoot(platform: Platform): DynamicModule {
    const { config, clock, logger, messaging } = platform;
    const holder = makeHolder(config);
    const providers = providersOf(platform, holder);
    return {
      module: PlatformModule,
      global: true,
      imports: [
        TelemetryModule.forRoot({ logger }),
        MessagingModule.forRoot(messaging),
        PersistenceModule.forRootAsync({
          clock,
          useFactory: () => ({
            url: config.databaseUrl,
            schema: schedulerSchema,
            entities,
            poolMax: config.databasePoolMax,
            // By its sessions a successor tells what this process left open, and ends it.
            applicationName: sessionName(holder),
            idleInTransactionTimeoutMs: idle_in_transaction_ms_max,
          }),
        }),
      ],
      providers: [...providers, { provide: APP_FILTER, useClass: DatabaseUnavailableFilter }],
      exports: providers,
    };
  }
}

/**
 * Neither a full stream nor what no repetition mends is waited for: the resend reconciler makes the command again while
 * it is wanted.
 */
function sendOutcome(outcome: PublishOutcome): SendOutcome {
  if (outcome.ok) return { ok: true };
  if (outcome.full) return { ok: false, refused: 'stream full' };
  return { ok: false, refused: outcome.error.retry ? null : outcome.error.code };
}

function providersOf({ config, clock, logger, messaging, signingKey }: Platform, holder: string): Provider[] {
  return [
    { provide: SCHEDULER_CONFIG, useValue: config },
    { provide: CLOCK, useValue: clock },
    { provide: SCHEDULER_SIGNING_KEY, useValue: signingKey },
    { provide: RUNTIME_SETTINGS, useValue: runtimeSettings(config) },
    { provide: LEADERSHIP_DATABASE, useValue: { connectionString: config.databaseUrl, holder } },
    { provide: Outbox, useFactory: () => new Outbox(schedulerSchema, clock) },
    {
      provide: OutboxRelay,
      inject: [DataSource],
      useFactory: (dataSource: DataSource) =>
        new OutboxRelay(
          dataSource,
          {
            ...eventRelayPorts({
              ...{ messaging, signingKey, source, clock, logger },
              asks: config.auditPublicKey,
            }),
            send: async (messages) =>
              (await messaging.publishDurableAll(messages, { onFailure: 'continue' })).map(sendOutcome),
          },
          { schema: schedulerSchema, source, clock, logger },
        ),
    },
    AfterCommit,
  ];
}

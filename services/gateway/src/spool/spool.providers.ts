import type { Provider } from '@nestjs/common';
import { CLOCK, type Clock } from '#libs/clock';
import { newId, subjects } from '#libs/contracts';
import { askWatermark, Messaging } from '#libs/messaging';
import { EventSpool, SpoolFile, SpoolPublisher } from '#libs/spool';
import { LOGGER, type Logger } from '#libs/telemetry';
import { GATEWAY_CONFIG, type GatewayConfig } from '../gateway.config.js';

const source = '/gateway';
/** About 100 MiB; at the most events a minute that are recorded, half a day without an audit service. */
const events_max = 100_000;

/** This service's events, kept in a file of its own until the audit service has them. */
export const spoolProviders: Provider[] = [
  {
    provide: SpoolFile,
    inject: [GATEWAY_CONFIG],
    useFactory: ({ spoolPath }: GatewayConfig) => new SpoolFile(spoolPath),
  },
  {
    provide: EventSpool,
    inject: [SpoolFile, CLOCK],
    useFactory: (db: SpoolFile, clock: Clock) =>
      new EventSpool(db, clock, { incarnation: newId(), events_max }),
  },
  {
    provide: SpoolPublisher,
    inject: [EventSpool, SpoolFile, Messaging, GATEWAY_CONFIG, CLOCK, LOGGER],
    useFactory: (
      spool: EventSpool,
      db: SpoolFile,
      messaging: Messaging,
      { signingKey, auditPublicKey: auditKeys }: GatewayConfig,
      clock: Clock,
      logger: Logger,
    ) =>
      new SpoolPublisher({
        ...{ spool, db, source, signingKey, clock, logger },
        messaging: () => messaging,
        ask: askWatermark({
          ...{ messaging: () => messaging, subject: subjects.internal('audit', 'watermark') },
          ...{ signer: signingKey, auditKeys },
        }),
      }),
  },
];

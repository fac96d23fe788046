import { CLOCK, type Clock } from '#libs/clock';
import { eventRelayPorts, Messaging, type SigningKey } from '#libs/messaging';
import { Outbox, OutboxRelay } from '#libs/persistence';
import { LOGGER, type Logger } from '#libs/telemetry';
import type { Provider } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { AUDIT_SIGNING_KEY } from '../audit.keys.js';
import { workSchema } from './roles.js';
import { WatermarkService } from '../watermark/watermark.service.js';

/** CloudEvents source of what the audit service itself tells. */
export const ownSource = '/audit';

/**
 * The outbox of this service and its relay. Its events take the same way as all others: over the stream, signed, into
 * the log, and are kept until they are there.
 */
export const outboxProviders: Provider[] = [
  { provide: Outbox, inject: [CLOCK], useFactory: (clock: Clock) => new Outbox(workSchema, clock) },
  {
    provide: OutboxRelay,
    inject: [DataSource, Messaging, AUDIT_SIGNING_KEY, WatermarkService, CLOCK, LOGGER],
    useFactory: (
      dataSource: DataSource,
      messaging: Messaging,
      signingKey: SigningKey,
      watermark: WatermarkService,
      clock: Clock,
      logger: Logger,
    ) =>
      new OutboxRelay(
        dataSource,
        eventRelayPorts({
          ...{ messaging, signingKey, source: ownSource, clock, logger },
          // It need not ask itself over NATS.
          asks: async (question) => await watermark.answer(question),
        }),
        { schema: workSchema, source: ownSource, clock, logger },
      ),
  },
];

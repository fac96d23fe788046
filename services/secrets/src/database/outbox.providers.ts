import type { Provider } from '@nestjs/common';
import { CLOCK, type Clock } from '#libs/clock';
import { subjects } from '#libs/contracts';
import {
  askWatermark,
  ConfirmationLoop,
  encodeSignedEvent,
  type EventToEncode,
  Messaging,
  SigningKey,
} from '#libs/messaging';
import { Outbox, OutboxRelay } from '#libs/persistence';
import { LOGGER, type Logger } from '#libs/telemetry';
import { DataSource } from 'typeorm';
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
    inject: [DataSource, Messaging, SigningKey, CLOCK, LOGGER],
    useFactory: (
      dataSource: DataSource,
      messaging: Messaging,
      signingKey: SigningKey,
      clock: Clock,
      logger: Logger,
    ) =>
      new OutboxRelay(
        dataSource,
        {
          // The outbox checked type and data when the event was written.
          finish: (event) => encodeSignedEvent(event as EventToEncode, signingKey),
          publish: (messages) => messaging.publishDurableAll(messages),
          onReachable: (listener) => messaging.onConnected(listener),
          confirmation: (kept) =>
            new ConfirmationLoop(
              kept,
              askWatermark(() => messaging, subjects.internal('audit', 'watermark'), signingKey),
              { source, clock, logger },
            ),
        },
        { schema: secretsSchema, source, clock, logger },
      ),
  },
];

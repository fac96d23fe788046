import type { Provider } from '@nestjs/common';
import { CLOCK, type Clock } from '#libs/clock';
import { LOGGER, type Logger } from '#libs/telemetry';
import { Outbox } from '../outbox/outbox.js';
import { OutboxRelay } from '../outbox/outbox.relay.js';
import { TransactionRunner } from '../transaction.js';
import { RefusalsRecorder, type RefusalsOptions } from './refusals.recorder.js';

/** The recorder of refusals of a service with an outbox. `config` is the token of its configuration. */
export const refusalsProvider = (door: RefusalsOptions['door'], config: symbol): Provider => ({
  provide: RefusalsRecorder,
  inject: [TransactionRunner, Outbox, OutboxRelay, CLOCK, LOGGER, config],
  useFactory: (
    transactions: TransactionRunner,
    outbox: Outbox,
    relay: OutboxRelay,
    clock: Clock,
    logger: Logger,
    { refusalEventsPerSecond: perSecond }: { readonly refusalEventsPerSecond: number },
  ) => new RefusalsRecorder({ door, perSecond, transactions, outbox, relay, clock, logger }),
});

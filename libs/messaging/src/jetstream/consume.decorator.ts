import { applyDecorators, UseFilters } from '@nestjs/common';
import { EventPattern } from '@nestjs/microservices';
import { ErrorCrossing } from '../error-crossing.filter.js';
import { JETSTREAM, type ConsumeExtras } from '../transports.js';
import type { Delivery } from './delivery.js';

type SingleHandler = (delivery: Delivery) => Promise<void> | void;
type BatchHandler = (deliveries: Delivery[]) => Promise<void> | void;

/**
 * Handles the deliveries of a consumer, by its durable name or the `name` it has in the options of `JetStreamServer`.
 * With `batch` in those options the handler gets an array. How it settles: see `JetStreamServer`.
 */
export function Consume(consumer: string) {
  return <T extends SingleHandler | BatchHandler>(
    target: object,
    key: string | symbol,
    descriptor: TypedPropertyDescriptor<T>,
  ): void => {
    const extras: ConsumeExtras = { kind: 'consume', consumer };
    applyDecorators(
      // eslint-disable-next-line @typescript-eslint/no-unnecessary-type-arguments -- without it the type does not fit
      EventPattern<string>(consumer, JETSTREAM, extras),
      UseFilters(new ErrorCrossing()),
    )(target, key, descriptor);
  };
}

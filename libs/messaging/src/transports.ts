import type { z } from 'zod';
import type { ApiName } from '#libs/contracts';

/** Transport of `@Api` and `@Request`. */
export const REQUEST_REPLY = Symbol('tradefleet-request-reply');
/** Transport of `@Consume`. */
export const JETSTREAM = Symbol('tradefleet-jetstream');

/** What `@Api` and `@Request` tell the server about a handler. */
export interface RequestExtras {
  readonly kind: 'request';
  /** `bots.create`, or the subject of an internal request. */
  readonly name: string;
  readonly api: ApiName | null;
  readonly schema: z.ZodType;
  readonly pool: RequestPool;
  readonly [key: string]: unknown;
}

/**
 * Which bound a handler counts against: a flood of API calls must not keep heartbeats from their leases, and calls that
 * merely wait must not keep out those that work.
 */
export type RequestPool = 'api' | 'internal' | 'waiting';

/** What `@Consume` tells the server about a handler. */
export interface ConsumeExtras {
  readonly kind: 'consume';
  readonly consumer: string;
  readonly [key: string]: unknown;
}

import { z } from 'zod';
import { PlainText } from './names.js';
import { Problem } from './problem.js';

/** What every NATS request is answered: the result, or the problem. Plain JSON, so a stock client reads it. */
export const Reply = <T extends z.ZodType>(result: T) =>
  z.discriminatedUnion('ok', [
    z.strictObject({ ok: z.literal(true), result }),
    z.strictObject({ ok: z.literal(false), problem: Problem }),
  ]);
export type Reply<T> = { ok: true; result: T } | { ok: false; problem: Problem };

/** Same key and same body: the same answer, the work done once. Kept for `limits.idempotency_hours`. */
export const IdempotencyKey = z
  .string()
  .min(1)
  .max(128)
  .regex(/^[\x21-\x7e]+$/, 'must be printable ASCII without spaces')
  .meta({ id: 'IdempotencyKey' });

/** Fields of every request that changes something. */
export const writeFields = { idempotencyKey: IdempotencyKey.optional() };

/** Keyset paging: `after` is the last name or id of the page before. */
export const pageFields = {
  limit: z.int().min(1).max(500).default(100),
  after: PlainText(64).optional(),
};

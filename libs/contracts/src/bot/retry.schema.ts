import { z } from 'zod';

/** How delays before tries grow: each the same, or twice the one before up to a bound. */
export const Backoff = z.enum(['constant', 'exponential']);
export type Backoff = z.infer<typeof Backoff>;

interface Paced {
  readonly attempts: number | null;
  readonly windowMs: number;
  readonly delayMs: number;
  readonly delayMaxMs: number;
  readonly backoff?: Backoff;
}

/**
 * Whether that many tries can come within the window at all. With delays that are longer the window would always have
 * forgotten some of them: the policy would never give up, and never say so.
 */
function givesUpSometime({
  attempts,
  windowMs,
  delayMs,
  delayMaxMs,
  backoff = 'exponential',
}: Paced): boolean {
  let needed_ms = 0;
  for (let tries = 0; tries < (attempts ?? 0); tries += 1) {
    needed_ms += backoff === 'constant' ? delayMs : Math.min(delayMs * 2 ** tries, delayMaxMs);
  }
  return needed_ms <= windowMs;
}
const neverGivesUp =
  'windowMs must be longer than the delays of all attempts together, or they are never used up';

const ordered = ({ delayMs, delayMaxMs }: Paced): boolean => delayMs <= delayMaxMs;
const notOrdered = 'delayMaxMs must be at least delayMs';

/**
 * What an agent does with a bot that ends by itself: it starts it again on the same host, under the same allocation and
 * epoch, as the next attempt. More than `attempts` of these within `windowMs` end the allocation.
 */
export const RestartPolicy = z
  .strictObject({
    /** 0: the allocation ends with the first exit. */
    attempts: z.int().min(0).max(20).default(3),
    windowMs: z.int().min(1000).max(86_400_000).default(600_000),
    /** Before the first; how the others follow, `backoff` says. */
    delayMs: z.int().min(100).max(600_000).default(1000),
    backoff: Backoff.default('exponential'),
    /** Longest delay before chance. */
    delayMaxMs: z.int().min(100).max(3_600_000).default(60_000),
    /** Share of a delay that chance may add, so that bots that fell together do not come back together. */
    jitter: z.number().min(0).max(1).default(0.2),
  })
  .refine(ordered, notOrdered)
  .refine(givesUpSometime, neverGivesUp)
  .meta({ id: 'RestartPolicy' });
export type RestartPolicy = z.infer<typeof RestartPolicy>;

/**
 * What the scheduler does with a bot whose allocation failed: it places it again, rather on another host, under a new
 * epoch, after a delay that doubles. More than `attempts` failures within `windowMs`: it gives up until somebody starts
 * or changes the bot.
 */
export const ReschedulePolicy = z
  .strictObject({
    /** null: without end. 0: a failed allocation is never followed by another. */
    attempts: z.int().min(0).max(50).nullable().default(null),
    windowMs: z.int().min(1000).max(86_400_000).default(3_600_000),
    delayMs: z.int().min(1000).max(600_000).default(5000),
    delayMaxMs: z.int().min(1000).max(3_600_000).default(300_000),
    jitter: z.number().min(0).max(1).default(0.2),
  })
  .refine(ordered, notOrdered)
  .refine(givesUpSometime, neverGivesUp)
  .meta({ id: 'ReschedulePolicy' });
export type ReschedulePolicy = z.infer<typeof ReschedulePolicy>;

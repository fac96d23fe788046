import { z } from 'zod';
import { EventAttributes } from '../event/event.schema.js';
import { Id } from '../names.js';

/** Bounds of a watermark request and its answer; what is beyond waits for the next one. */
export const watermarkLimits = {
  /** Incarnations of one producer in one request. */
  incarnations_max: 64,
  /** Ranges of one incarnation. */
  ranges_max: 32,
  /** Events of one incarnation that are asked for again at once. */
  missing_events_max: 2048,
} as const;

/** Sequences of one incarnation, first and last, both included. */
export const SequenceRange = z
  .tuple([z.int().min(1), z.int().min(1)])
  .refine(([from, to]) => from <= to, 'must not end before it begins');
export type SequenceRange = z.infer<typeof SequenceRange>;

/** 16 random bytes, base64url. */
const Nonce = z.string().regex(/^[A-Za-z0-9_-]{22}$/, 'must be 16 bytes in base64url');

const eventsIn = (ranges: readonly SequenceRange[]): number =>
  ranges.reduce((sum, [from, to]) => sum + to - from + 1, 0);

/**
 * A producer asks how far its events are recorded. Services ask on `subjects.internal('audit', 'watermark')`, agents on
 * `subjects.watermark(host)` with the source `/agent/<host>`. Signed by the key that signs the producer's events, as a
 * detached JWS over the body in the header `tradefleet-signature`.
 */
export const WatermarkRequest = z
  .strictObject({
    source: EventAttributes.shape.source,
    /** Of this question and no other: the answer repeats it, so that no old answer passes for a new one. */
    nonce: Nonce,
    incarnations: z
      .array(
        z.strictObject({
          incarnation: Id,
          /** The highest sequence it has published. */
          last: z.int().min(0),
          /** Was asked for and is no longer there: will never come. Told again until `upTo` has passed it. */
          unavailable: z.array(SequenceRange).max(watermarkLimits.ranges_max),
        }),
      )
      .min(1)
      .max(watermarkLimits.incarnations_max),
  })
  .meta({ id: 'WatermarkRequest' });
export type WatermarkRequest = z.infer<typeof WatermarkRequest>;

/**
 * The audit service's answer: one entry for each incarnation of the request that it answers for. Producers delete by it,
 * so it is signed by the key that signs the audit service's events, as a detached JWS over the body in the header
 * `tradefleet-signature`.
 */
export const WatermarkAnswer = z
  .strictObject({
    /** Whose question it answers, and which: both as they stand in the request. */
    source: EventAttributes.shape.source,
    nonce: Nonce,
    incarnations: z
      .array(
        z.strictObject({
          incarnation: Id,
          /**
           * Every event with this sequence or a lower one is committed: recorded, quarantined after a good signature,
           * or given up as lost. The producer need not keep it any longer. 0: none.
           */
          upTo: z.int().min(0),
          /** Above `upTo`; to be published again under the same event id and the message id `<id>.<n>`. */
          missing: z
            .array(SequenceRange)
            .max(watermarkLimits.ranges_max)
            .refine(
              (ranges) => eventsIn(ranges) <= watermarkLimits.missing_events_max,
              'are too many events',
            ),
        }),
      )
      .max(watermarkLimits.incarnations_max),
  })
  .meta({ id: 'WatermarkAnswer' });
export type WatermarkAnswer = z.infer<typeof WatermarkAnswer>;

import { z } from 'zod';
import { Actor, Id, Timestamp } from '../names.js';

/** NATS headers of an event: CloudEvents 1.0 binary mode, its extensions, and what goes with them. */
export const eventHeaders = {
  specversion: 'ce-specversion',
  id: 'ce-id',
  source: 'ce-source',
  type: 'ce-type',
  time: 'ce-time',
  subject: 'ce-subject',
  sequence: 'ce-sequence',
  incarnation: 'ce-incarnation',
  actor: 'ce-actor',
  contentType: 'content-type',
  traceparent: 'traceparent',
  messageId: 'Nats-Msg-Id',
  signature: 'tradefleet-signature',
} as const;

/** Header of requests that says who asks; claimed by clients, set by the gateway from the token. */
export const actorHeader = 'tradefleet-actor';
/** Header that carries a detached EdDSA JWS over the body (commands, heartbeats, registrations, their answers). */
export const signatureHeader = 'tradefleet-signature';

/**
 * Attributes of an event. `sequence` counts without gaps within an `incarnation` of a `source`, from 1.
 * `subject` is `<entity>/<id>`; the NATS subject is `subjects.event(entity, id, what)`.
 */
export const EventAttributes = z.strictObject({
  id: Id,
  source: z.string().regex(/^\/(scheduler|agent|secrets|gateway|audit)(\/[a-z0-9-]{1,40})?$/),
  type: z.string().regex(/^tradefleet\.[a-z-]+\.[a-z-]+$/),
  time: Timestamp,
  subject: z.string().regex(/^[a-z-]+\/[A-Za-z0-9_-]{1,64}$/),
  sequence: z.int().min(1),
  incarnation: Id,
  actor: Actor,
  traceparent: z
    .string()
    .regex(/^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$/)
    .optional(),
});
export type EventAttributes = z.infer<typeof EventAttributes>;

/** An event as queries and streams show it. */
export const FleetEvent = z
  .strictObject({
    ...EventAttributes.shape,
    entity: z.string(),
    entityId: z.string(),
    severity: z.enum(['info', 'notice', 'warning', 'critical']),
    data: z.record(z.string(), z.unknown()),
    /** Where it stands in the log, from 0; a live stream does not know it yet. */
    position: z.int().min(0).optional(),
  })
  .meta({ id: 'FleetEvent' });
export type FleetEvent = z.infer<typeof FleetEvent>;

/**
 * The bytes an event's signature covers: every attribute and the body, so that none can be changed on the way.
 * One attribute a line, in this order, an absent one empty; then the body as it is sent.
 */
export function eventSigningInput(attributes: EventAttributes, body: Uint8Array): Uint8Array {
  const { id, source, type, time, subject, sequence, incarnation, actor, traceparent = '' } = attributes;
  const head =
    `tradefleet-event-v1\n${id}\n${source}\n${type}\n${time}\n${subject}\n${sequence}\n` +
    `${incarnation}\n${actor}\n${traceparent}\n`;
  const head_bytes = Buffer.byteLength(head, 'utf8');
  const input = Buffer.allocUnsafe(head_bytes + body.length);
  input.write(head, 0, 'utf8');
  input.set(body, head_bytes);
  return input;
}

/** Bytes of the salt that stands before an event in its leaf. */
export const event_salt_bytes = 16;

/**
 * The bytes of an event's leaf in the tree of a batch that one signature covers. The salt is random and known to this event
 * alone: the hash of a leaf stands in the signatures of its neighbours, who must not tell by it whether a guess at a
 * person's name is right.
 */
export const eventLeafInput = (salt: Uint8Array, signingInput: Uint8Array): Uint8Array =>
  Buffer.concat([salt, signingInput]);

/**
 * The bytes that a signature over a batch of events covers: how many they are, and the root of their tree (RFC 6962). They
 * differ from those of an event in the 17th byte and from a body of JSON in the first, so neither passes for another.
 */
export const eventBatchSigningInput = (size: number, root: Buffer): Uint8Array =>
  Buffer.from(`tradefleet-events-v1\n${size}\n${root.toString('base64')}\n`, 'latin1');

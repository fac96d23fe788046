import {
  EventAttributes,
  eventHeaders,
  eventSigningInput,
  eventTypeParts,
  eventTypes,
  isEventType,
  ProblemError,
  subjects,
  type EventData,
  type EventTypeName,
  type PublicJwk,
} from '#libs/contracts';
import type { OutgoingMessage } from './durable-publisher.js';
import { header, type Headers } from './headers.js';
import { encodeJson } from './json-body.js';
import { Poison, type Delivery } from './jetstream/delivery.js';
import { events_per_signature_max, signBatch } from './signing/batch-signature.js';
import { verifyEventSignature } from './signing/signature.js';
import type { SigningKey } from './signing/signing-key.js';

const specversion = '1.0';
const contentType = 'application/json';

export interface EventToEncode<T extends EventTypeName = EventTypeName> {
  readonly type: T;
  /** Id of the entity: a token of the NATS subject. */
  readonly subjectId: string;
  readonly data: EventData<T>;
  readonly actor: string;
  readonly traceparent?: string | undefined;
  /** ISO, UTC. */
  readonly time: string;
  readonly id: string;
  /** `/scheduler`, `/agent/<host>`, ... */
  readonly source: string;
  readonly incarnation: string;
  /** From 1, without gaps within the incarnation of the source. */
  readonly sequence: number;
}

/** The message of an event: CloudEvents 1.0, binary mode. Throws a `ZodError` for attributes or data that do not fit. */
export const encodeEvent = <T extends EventTypeName>(event: EventToEncode<T>): OutgoingMessage =>
  encode(event).message;

/** As `encodeEvent`, with the producer's signature over every attribute and the body. */
export async function encodeSignedEvent<T extends EventTypeName>(
  event: EventToEncode<T>,
  signer: SigningKey,
): Promise<OutgoingMessage> {
  const { message, input } = encode(event);
  return withSignature(message, await signer.sign(input));
}

/**
 * As `encodeSignedEvent`, for events that are published together: one signature for up to 64 of them, in their order, of
 * which each message carries what it needs to be verified alone.
 */
export async function encodeSignedEvents(
  events: readonly EventToEncode[],
  signer: SigningKey,
): Promise<OutgoingMessage[]> {
  const encoded = events.map(encode);
  const batches: Promise<string[]>[] = [];
  for (let from = 0; from < encoded.length; from += events_per_signature_max) {
    const batch = encoded.slice(from, from + events_per_signature_max);
    batches.push(
      signBatch(
        batch.map(({ input }) => input),
        signer,
      ),
    );
  }
  const signatures = (await Promise.all(batches)).flat();
  return encoded.map(({ message }, index) => withSignature(message, signatures[index] ?? ''));
}

interface Encoded {
  readonly message: OutgoingMessage;
  /** What its signature covers. */
  readonly input: Uint8Array;
}

function encode(event: EventToEncode): Encoded {
  const { entity, what } = eventTypeParts(event.type);
  const attributes = attributesOf(event, entity);
  const body = encodeJson(eventTypes[event.type].data.parse(event.data));
  const message = {
    subject: subjects.event(entity, event.subjectId, what),
    messageId: event.id,
    body,
    headers: toHeaders(attributes),
  };
  return { message, input: eventSigningInput(attributes, body) };
}

const withSignature = (message: OutgoingMessage, signature: string): OutgoingMessage => ({
  ...message,
  headers: { ...message.headers, [eventHeaders.signature]: signature },
});

/** An event as it was received, checked. `type` tells what `data` is. */
export type DecodedEvent = {
  [T in EventTypeName]: {
    readonly type: T;
    readonly attributes: EventAttributes;
    readonly data: EventData<T>;
    readonly entity: string;
    readonly entityId: string;
    readonly what: string;
  };
}[EventTypeName];

type Received = Pick<Delivery, 'body' | 'subject' | 'headers'>;

/** Why a message is no event. Quotes no data. */
export class NotAnEvent extends Poison {
  constructor(
    readonly code: 'bad_attributes' | 'unknown_type' | 'wrong_subject' | 'bad_data',
    reason: string,
  ) {
    super(reason);
  }
}

/**
 * Checks attributes, data and that the NATS subject says the same. Throws `NotAnEvent`, a `Poison`.
 * Who made it is not checked: see `verifyEvent`.
 */
export function decodeEvent(delivery: Received): DecodedEvent {
  return decodeEventData(readEventAttributes(delivery.headers), delivery);
}

/** As `decodeEvent`, when the attributes have been read. */
export function decodeEventData(
  attributes: EventAttributes,
  delivery: Pick<Delivery, 'body' | 'subject'>,
): DecodedEvent {
  if (!isEventType(attributes.type))
    throw new NotAnEvent('unknown_type', `unknown event type ${attributes.type}`);
  const { entity, what } = eventTypeParts(attributes.type);
  const [subjectEntity, entityId = ''] = attributes.subject.split('/');
  if (subjectEntity !== entity || delivery.subject !== subjects.event(entity, entityId, what))
    throw new NotAnEvent(
      'wrong_subject',
      `an event of type ${attributes.type} does not belong on ${delivery.subject}`,
    );
  const data = eventTypes[attributes.type].data.safeParse(delivery.body);
  if (!data.success) {
    const places = data.error.issues.slice(0, 5).map((issue) => issue.path.join('.') || '(body)');
    throw new NotAnEvent('bad_data', `data of ${attributes.type} does not fit at ${places.join(', ')}`);
  }
  // The catalogue pairs type and data; TypeScript cannot see that across the lookup.
  return { type: attributes.type, attributes, data: data.data, entity, entityId, what } as DecodedEvent;
}

/** Resolves when one of the keys signed exactly these attributes and bytes. Throws `bad_signature`. */
export async function verifyEvent(
  delivery: Pick<Delivery, 'bytes' | 'headers'>,
  keys: PublicJwk | readonly PublicJwk[],
): Promise<void> {
  let attributes: EventAttributes;
  try {
    attributes = readEventAttributes(delivery.headers);
  } catch (error) {
    throw new ProblemError(
      'bad_signature',
      'Send every attribute of the event: one is missing or malformed.',
      {
        cause: error,
      },
    );
  }
  const signature = header(delivery.headers, eventHeaders.signature);
  await verifyEventSignature(eventSigningInput(attributes, delivery.bytes), signature, keys);
}

function attributesOf(event: EventToEncode, entity: string): EventAttributes {
  return EventAttributes.parse({
    id: event.id,
    source: event.source,
    type: event.type,
    time: event.time,
    subject: `${entity}/${event.subjectId}`,
    sequence: event.sequence,
    incarnation: event.incarnation,
    actor: event.actor,
    ...(event.traceparent === undefined ? {} : { traceparent: event.traceparent }),
  });
}

function toHeaders(attributes: EventAttributes): Record<string, string> {
  return {
    [eventHeaders.specversion]: specversion,
    [eventHeaders.id]: attributes.id,
    [eventHeaders.source]: attributes.source,
    [eventHeaders.type]: attributes.type,
    [eventHeaders.time]: attributes.time,
    [eventHeaders.subject]: attributes.subject,
    [eventHeaders.sequence]: String(attributes.sequence),
    [eventHeaders.incarnation]: attributes.incarnation,
    [eventHeaders.actor]: attributes.actor,
    [eventHeaders.contentType]: contentType,
    ...(attributes.traceparent === undefined ? {} : { [eventHeaders.traceparent]: attributes.traceparent }),
  };
}

/** The attributes as the headers have them. Throws `NotAnEvent`. */
export function readEventAttributes(headers: Headers): EventAttributes {
  const traceparent = header(headers, eventHeaders.traceparent);
  const sequence = header(headers, eventHeaders.sequence) ?? '';
  const parsed = EventAttributes.safeParse({
    id: header(headers, eventHeaders.id),
    source: header(headers, eventHeaders.source),
    type: header(headers, eventHeaders.type),
    time: header(headers, eventHeaders.time),
    subject: header(headers, eventHeaders.subject),
    // Number('') is 0 and Number('0x1') is 1: only what we write ourselves is a number here.
    sequence: /^[1-9]\d{0,15}$/.test(sequence) ? Number(sequence) : undefined,
    incarnation: header(headers, eventHeaders.incarnation),
    actor: header(headers, eventHeaders.actor),
    ...(traceparent === undefined ? {} : { traceparent }),
  });
  if (parsed.success) return parsed.data;
  const names = parsed.error.issues.slice(0, 5).map((issue) => issue.path.join('.'));
  throw new NotAnEvent(
    'bad_attributes',
    `attributes of the event are missing or malformed: ${names.join(', ')}`,
  );
}

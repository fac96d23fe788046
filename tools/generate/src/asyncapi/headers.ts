import { actorHeader, eventHeaders, type EventTypeName, signatureHeader } from '#libs/contracts';
import { deadLetterHeaders } from '#libs/messaging';
import type { Json } from '../../../../services/gateway/src/openapi/component.schemas.js';

const text = (description: string): Json => ({ type: 'string', description });
const traceparent = text('W3C trace context.');
const signature = text('Detached EdDSA JWS over what is named in the description of the message.');

const object = (properties: Json, required: readonly string[]): Json => ({
  type: 'object',
  properties,
  ...(required.length === 0 ? {} : { required }),
});

/** Of requests: both are optional, so that a stock client needs none. */
export const requestHeaders = object(
  { [actorHeader]: text('Who asks: <kind>:<name>. Claimed by clients, set by the gateway.'), traceparent },
  [],
);

/** Of requests of agents: signed over the body. */
export const signedHeaders = object({ [signatureHeader]: signature, traceparent }, [signatureHeader]);

/** Of commands: signed by the scheduler over the body, which names host, account, epoch and expiry. */
export const commandHeaders = object(
  { [signatureHeader]: signature, 'Nats-Msg-Id': text('Id of the command: stored once.'), traceparent },
  [signatureHeader, 'Nats-Msg-Id'],
);

/** CloudEvents 1.0, binary mode. */
export function eventHeadersSchema(type: EventTypeName): Json {
  const properties = {
    [eventHeaders.specversion]: { type: 'string', const: '1.0' },
    [eventHeaders.id]: { type: 'string', format: 'uuid' },
    [eventHeaders.source]: text('/<service> or /agent/<host>.'),
    [eventHeaders.type]: { type: 'string', const: type },
    [eventHeaders.time]: { type: 'string', format: 'date-time' },
    [eventHeaders.subject]: text('<entity>/<id>.'),
    [eventHeaders.sequence]: text('Counts without gaps within the incarnation of the source, from 1.'),
    [eventHeaders.incarnation]: { type: 'string', format: 'uuid' },
    [eventHeaders.actor]: text('Who asked for what led to this.'),
    [eventHeaders.contentType]: { type: 'string', const: 'application/json' },
    [eventHeaders.messageId]: text('The same as ce-id: stored once.'),
    [eventHeaders.traceparent]: traceparent,
    [eventHeaders.signature]: text("Detached EdDSA JWS over attributes and body, by the producer's key."),
  };
  const optional: readonly string[] = [eventHeaders.traceparent, eventHeaders.signature];
  return object(
    properties,
    Object.keys(properties).filter((name) => !optional.includes(name)),
  );
}

/** Besides the headers of the message itself. */
export const deadLetterHeadersSchema = object(
  {
    [deadLetterHeaders.reason]: text('Why it was given up.'),
    [deadLetterHeaders.subject]: text('Where it was published.'),
    [deadLetterHeaders.stream]: text('The stream it was stored on.'),
    [deadLetterHeaders.seq]: text('Its place on that stream.'),
    [deadLetterHeaders.deliveries]: text('How often it was delivered.'),
  },
  Object.values(deadLetterHeaders),
);

import type { JsMsg } from '@nats-io/jetstream';
import { subjects, type ConsumerSpec } from '#libs/contracts';
import { readMessageHeaders } from '../headers.js';
import type { Messaging } from '../messaging.js';

/** Headers of a dead letter; the body and the other headers are those of the message. */
export const deadLetterHeaders = {
  reason: 'tradefleet-dead-reason',
  subject: 'tradefleet-dead-subject',
  stream: 'tradefleet-dead-stream',
  seq: 'tradefleet-dead-seq',
  deliveries: 'tradefleet-dead-deliveries',
} as const;

const reason_chars_max = 300;

/** Stores a copy of a message on `fleet.v1.dead.<durable>`; the same message twice is one letter. */
export async function storeDeadLetter(
  messaging: Messaging,
  spec: ConsumerSpec,
  message: JsMsg,
  reason: string,
): Promise<void> {
  const own = Object.entries(readMessageHeaders(message)).filter(([name]) => mayBeSent(name));
  await messaging.publishDurable({
    subject: subjects.deadLetter(spec.durable),
    // A stream that was made anew counts from 1 again: the time tells its messages from the old ones.
    messageId: `${spec.durable}/${spec.stream}/${message.seq}/${message.info.timestampNanos}`,
    body: message.data,
    headers: {
      ...Object.fromEntries(own),
      [deadLetterHeaders.reason]: oneLine(reason),
      [deadLetterHeaders.subject]: message.subject,
      [deadLetterHeaders.stream]: spec.stream,
      [deadLetterHeaders.seq]: String(message.seq),
      [deadLetterHeaders.deliveries]: String(message.info.deliveryCount),
    },
  });
}

/** What the server added or acts upon must not act again; a name that is none the client would refuse, with the letter. */
const mayBeSent = (name: string): boolean => /^[!-9;-~]+$/.test(name) && !/^nats-/i.test(name);

const oneLine = (text: string): string => text.replace(/\p{Cc}+/gu, ' ').slice(0, reason_chars_max);

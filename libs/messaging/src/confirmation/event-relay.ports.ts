import type { Clock } from '#libs/clock';
import { subjects } from '#libs/contracts';
import { encodeSignedEvents, type EventToEncode } from '../events.js';
import type { Messaging } from '../messaging.js';
import type { SigningKey } from '../signing/signing-key.js';
import { askWatermark, type AskWatermark } from './ask-watermark.js';
import { ConfirmationLoop, type ConfirmationLogger, type KeptEvents } from './confirmation.loop.js';

export interface EventRelayOptions {
  readonly messaging: Messaging;
  /** Of the producer; signs its events and its questions for the watermark. */
  readonly signingKey: SigningKey;
  /** CloudEvents source of the producer. */
  readonly source: string;
  readonly clock: Clock;
  readonly logger: ConfirmationLogger;
  /** Default: asks the audit service as any service does. */
  readonly ask?: AskWatermark;
}

/** What the relay of an outbox needs of NATS for events (`RelayPorts` of persistence): signed, published, confirmed. */
export function eventRelayPorts({ messaging, signingKey, source, clock, logger, ask }: EventRelayOptions) {
  const asked = ask ?? askWatermark(() => messaging, subjects.internal('audit', 'watermark'), signingKey);
  return {
    // The outbox has checked the data against the catalogue when the event was written.
    finish: async (events: readonly (Omit<EventToEncode, 'data'> & { readonly data: unknown })[]) =>
      await encodeSignedEvents(events as readonly EventToEncode[], signingKey),
    publish: async (messages: Parameters<Messaging['publishDurableAll']>[0]) =>
      await messaging.publishDurableAll(messages),
    onReachable: (listener: () => void) => messaging.onConnected(listener),
    confirmation: (kept: KeptEvents) => new ConfirmationLoop(kept, asked, { source, clock, logger }),
  };
}

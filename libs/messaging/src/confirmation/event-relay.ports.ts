import type { Clock } from '#libs/clock';
import { subjects, type PublicJwk } from '#libs/contracts';
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
  /** The audit service's public keys, to ask it as any service does; or how else it is asked. */
  readonly asks: readonly PublicJwk[] | AskWatermark;
}

/** What the relay of an outbox needs of NATS for events (`RelayPorts` of persistence): signed, published, confirmed. */
export function eventRelayPorts({ messaging, signingKey, source, clock, logger, asks }: EventRelayOptions) {
  const ask =
    typeof asks === 'function'
      ? asks
      : askWatermark({
          ...{ messaging: () => messaging, subject: subjects.internal('audit', 'watermark') },
          ...{ signer: signingKey, auditKeys: asks },
        });
  return {
    // The outbox has checked the data against the catalogue when the event was written.
    finish: async (events: readonly (Omit<EventToEncode, 'data'> & { readonly data: unknown })[]) =>
      await encodeSignedEvents(events as readonly EventToEncode[], signingKey),
    publish: async (messages: Parameters<Messaging['publishDurableAll']>[0]) =>
      await messaging.publishDurableAll(messages),
    onReachable: (listener: () => void) => messaging.onConnected(listener),
    confirmation: (kept: KeptEvents) => new ConfirmationLoop(kept, ask, { source, clock, logger }),
  };
}

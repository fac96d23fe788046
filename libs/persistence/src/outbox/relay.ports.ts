import type { Clock } from '#libs/clock';
import type { EventData, EventTypeName, SequenceRange } from '#libs/contracts';
import type { StoredEvent } from './outbox.repository.js';

/** A message as the broker gets it. */
export interface RelayMessage {
  readonly subject: string;
  readonly messageId: string;
  readonly body: Uint8Array | string;
  readonly headers: Readonly<Record<string, string>>;
}

interface NumberedEvent extends Omit<StoredEvent, 'type'> {
  /** CloudEvents id and message id; the same whenever this event is published again. */
  readonly id: string;
  readonly source: string;
  /** Events are numbered from 1 without gaps within an incarnation. */
  readonly incarnation: string;
  readonly sequence: number;
}

/** An event with everything that is needed to encode and sign it, as `encodeSignedEvents` of messaging takes it. */
export type RelayEvent = {
  [T in EventTypeName]: NumberedEvent & { readonly type: T; readonly data: EventData<T> };
}[EventTypeName];

/** Durably stored; or not now; or refused in a way that trying again does not mend. */
export type SendOutcome = { readonly ok: true } | { readonly ok: false; readonly refused: string | null };

/** What the relay needs of the world; given from outside, so that persistence knows neither NATS nor keys. */
export interface RelayPorts {
  /**
   * Encodes (and signs) the events of a pass, so that they may share signatures; a message for each, in their order.
   * They have been checked against the catalogue when they were written.
   */
  readonly finish: (events: readonly RelayEvent[]) => Promise<readonly RelayMessage[]>;
  /** Publishes in order, nothing after a failure; one outcome a message, in the same order: durably stored, or not. */
  readonly publish: (messages: readonly RelayMessage[]) => Promise<readonly { readonly ok: boolean }[]>;
  /**
   * Sends messages that are not events, each for itself; one outcome a message, in the same order. A service whose
   * outbox holds events alone leaves it out.
   */
  readonly send?: (messages: readonly RelayMessage[]) => Promise<readonly SendOutcome[]>;
  /**
   * Has the listener called whenever the broker can be reached again, so that what waits does not wait for the end of
   * a back-off; gives a function that ends it.
   */
  readonly onReachable?: (listener: () => void) => () => void;
  /**
   * Makes what confirms events as recorded while the relay runs; they are deleted by nothing else. Left out: they stay
   * for ever.
   */
  readonly confirmation?: (kept: KeptOutboxEvents) => RelayConfirmation;
}

/** The published events of an outbox that are not confirmed; what `ConfirmationLoop` of messaging takes. */
export interface KeptOutboxEvents {
  incarnations(): Promise<readonly { readonly incarnation: string; readonly last: number }[]>;
  confirm(incarnation: string, upTo: number): Promise<void>;
  again(incarnation: string, ranges: readonly SequenceRange[]): Promise<readonly number[]>;
}

export interface RelayConfirmation {
  start(): void;
  stop(): Promise<void>;
  wake(): void;
}

export interface RelayLogger {
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

export interface RelayOptions {
  readonly schema: string;
  /** CloudEvents source of this service's events: `/scheduler`. */
  readonly source: string;
  readonly clock: Clock;
  readonly logger: RelayLogger;
  /** Rows taken at once; bounds the relay's memory. Default 500. */
  readonly batchRows?: number;
  /** How often it looks when nobody wakes it. Default 250 ms. */
  readonly idleMs?: number;
  /** Age at which messages are deleted that were sent. Default 24 h. Events stay until they are confirmed. */
  readonly keepMs?: number;
}

export interface RelayStatus {
  readonly running: boolean;
  readonly published: number;
  /** Failed passes since the last good one. */
  readonly failures: number;
}

import type { ConsumerSpec } from '#libs/contracts';

/** The key that signs the events of the audit service itself. */
export const AUDIT_SIGNING_KEY = Symbol('AuditSigningKey');

/** The consumer that brings the events. */
export const EVENTS_CONSUMER = Symbol('EventsConsumer');
export type EventsConsumer = ConsumerSpec;

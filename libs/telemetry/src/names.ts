/** Names of log fields, so that one search finds them in every service. */
export const logFields = {
  service: 'service',
  context: 'context',
  traceId: 'traceId',
  actor: 'actor',
  subject: 'subject',
  code: 'code',
  host: 'host',
  bot: 'bot',
  account: 'account',
  allocation: 'allocation',
  epoch: 'epoch',
  operation: 'operation',
  consumer: 'consumer',
  messageId: 'messageId',
  duration_ms: 'durationMs',
} as const;

/** Names of metrics; unit and kind in the comment. */
export const metricNames = {
  /** Counter of requests answered. Attributes: operation, code (`ok` or an error code). */
  requests: 'tradefleet.messaging.requests',
  /** Histogram, milliseconds from receipt to answer. Attribute: operation. */
  request_duration_ms: 'tradefleet.messaging.request.duration',
  /** Counter of deliveries settled. Attributes: consumer, outcome (ack, nak, dead). */
  deliveries: 'tradefleet.messaging.deliveries',
  /** Counter of durable publishes. Attributes: outcome (stored, duplicate, failed); of a failed one its code. */
  publishes: 'tradefleet.messaging.publishes',
  /** Counter of checkpoints of the audit log. Attribute: outcome (made, diverged). */
  audit_checkpoints: 'tradefleet.audit.checkpoints',
  /** Counter of positions of the audit log that were read again and compared. */
  audit_checked: 'tradefleet.audit.checked',
  /** Counter of damaged stretches found in the audit log. Attribute: what. */
  audit_damage: 'tradefleet.audit.damage',
  /** Counter of lost connections to NATS. */
  disconnects: 'tradefleet.messaging.disconnects',
  /** Gauge of outbox rows not yet published. */
  outbox_backlog: 'tradefleet.outbox.backlog',
  /** Counter of outbox messages given up, by source and reason. */
  outbox_dropped: 'tradefleet.outbox.dropped',
  /** Gauge of events that are kept until the audit service has recorded them, by source. */
  events_unconfirmed: 'tradefleet.events.unconfirmed',
  /** Counter of events to be published again because they did not reach the audit log, by source. */
  events_refilled: 'tradefleet.events.refilled',
  /** Counter of events that were asked for again and are gone, by source. */
  events_unavailable: 'tradefleet.events.unavailable',
  /** Counter of answers about what is recorded that are not the audit service's, by source: nothing is deleted by them. */
  confirmations_refused: 'tradefleet.events.confirmations.refused',
} as const;

/** Names of spans. */
export const spanNames = {
  request: 'tradefleet.request',
  publish: 'tradefleet.publish',
  process: 'tradefleet.process',
} as const;

/** OpenTelemetry semantic conventions for messaging, 1.37 (development status). */
export const spanAttributes = {
  system: 'messaging.system',
  destination: 'messaging.destination.name',
  template: 'messaging.destination.template',
  operationName: 'messaging.operation.name',
  operationType: 'messaging.operation.type',
  consumerGroup: 'messaging.consumer.group.name',
  messageId: 'messaging.message.id',
  errorType: 'error.type',
} as const;

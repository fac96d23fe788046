export * from './data-source.js';
export * from './database-errors.js';
export * from './migrations.js';
export * from './persistence.module.js';
export * from './transaction.js';
export * from './outbox/outbox.js';
export * from './outbox/outbox.migration.js';
export * from './outbox/outbox.relay.js';
export type { Producer, StoredEvent } from './outbox/outbox.repository.js';

export * from './logger.js';
export * from './names.js';
export * from './open-telemetry.js';
export * from './redaction.js';
export * from './request-context.js';
export * from './span.js';
export * from './telemetry.module.js';
export * from './traceparent.js';

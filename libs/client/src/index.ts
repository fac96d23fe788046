export * from './gateway.client.js';
export * from './http-request.js';
export * from './server-sent-events.js';

export * from './clock.js';
export * from './token-bucket.js';
